"""Rebuild: one arrival day of lake and archive -> a new index of the day in the hot store."""
