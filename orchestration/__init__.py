"""Dagster: time -> compaction, checks, tiers, retention and repair of the tables; an operator watches in its UI."""
