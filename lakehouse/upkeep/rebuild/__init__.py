"""Rebuild: one arrival day of lake and archive -> its index in the hot store, anew."""
