"""Dagster: time -> compaction, checks, tiers, retention and repair of the tables; its UI is where an operator watches."""
