"""The words every room shares: records, the wire, ports, the query model, settings, errors.

No I/O, but for what every room does in one way with the system: files, locks, open files and log lines.
"""
