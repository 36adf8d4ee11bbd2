"""The words every room shares: records, the wire, ports, the query model, settings, errors. No I/O."""
