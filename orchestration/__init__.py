"""Dagster: time -> compaction, checks, tiers, retention and repair of the tables; its UI shows the runs."""

import os

# Dagster reads this at import. A tick may look through years of days, for which the default of a minute is too short.
os.environ.setdefault("DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS", "300")
