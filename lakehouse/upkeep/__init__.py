"""Upkeep: maintenance of the tables over years, one folder for each kind of job."""
