"""The lake: tables of records, their archive, their ledger, and the erasures that bind them."""
