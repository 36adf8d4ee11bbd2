"""Jobs: assets by what is done to them -> what schedules start and the UI lists."""

from __future__ import annotations

import dagster as dg

from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER, ROLLUPS
from lakehouse.upkeep.archive.holdings import HOT_KINDS
from orchestration.assets import upkeep
from orchestration.names import SHORT, compacted, hot, landed, opened, retained

TABLES = (*(kind.value for kind in Kind), LEDGER)

open_day = dg.define_asset_job(
    "open_day",
    selection=[opened(name) for name in TABLES],
    tags=SHORT,
    description="Puts today's small files together.",
)
closed_day = dg.define_asset_job(
    "closed_day",
    selection=[compacted(name) for name in (*TABLES, *ROLLUPS)],
    description="Rewrites a day that is over, and checks it.",
)
retention = dg.define_asset_job(
    "retention",
    selection=[retained(kind.value) for kind in Kind],
    description="Does what the retention policy makes due: to the archive, out of the hot store, or deleted.",
)
heal_hot = dg.define_asset_job(
    "heal_hot",
    selection=[hot(kind.value) for kind in HOT_KINDS],
    description="Builds days anew that the hot store should answer for and does not.",
)
roll_up = dg.define_asset_job(
    "roll_up",
    selection=[landed(name) for name in ROLLUPS],
    tags=SHORT,
    description="Adds the metric points that have landed to their windows.",
)
vacuum = dg.define_asset_job("vacuum", selection=[upkeep.vacuumed_lake.key], description="Deletes files of no use.")
old_runs = dg.define_asset_job(
    "old_runs", selection=[upkeep.old_runs.key], tags=SHORT, description="Deletes records of old runs."
)

erasures = dg.define_asset_job(
    "erasures", selection=[upkeep.erasures.key], tags=SHORT, description="Completes erasures that did not end."
)

ALL = [open_day, closed_day, retention, heal_hot, roll_up, vacuum, old_runs, erasures]
