"""Compaction: one arrival day in many small files -> few large files, sorted."""
