"""Upkeep: the care of the tables over years, one folder for each kind of care."""
