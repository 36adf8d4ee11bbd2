"""The embedded bus: topics and partitions in one SQLite file of one machine."""
