"""Types and rules that every room shares: records, messages, ports, the query model, settings, errors.

The only I/O here is the one common way to replace files, lock them, raise the file limit and write log lines.
"""
