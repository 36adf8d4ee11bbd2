"""The care of the tables over years: compaction, archive, retention, erasure, rebuilding, rollups, quality.

Each file is one kind of care, as plain functions on Delta tables and the hot store, that can be run again after a crash
at any step; `orchestration` decides when.
"""
