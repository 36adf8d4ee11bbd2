"""Dagster: time -> compaction, checks, tiers, retention and repair of the tables; an operator watches in its UI."""

import os

# Read when Dagster is imported: a tick may look through years of days. The default is a minute.
os.environ.setdefault("DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS", "300")
