"""Care of the Delta table `ledger`: the account of every bus message, kept for ever; it has no topic and no archive."""

from __future__ import annotations

from lakehouse.tables import LEDGER
from orchestration.table import closed_day, open_day

WHAT = "accounts: what became of the records of each bus message"

ASSETS = [open_day(LEDGER, WHAT), closed_day(LEDGER, WHAT, ())]
