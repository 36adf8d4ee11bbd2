"""Jobs: assets with the same kind of work -> jobs for the schedules and the UI."""

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
    description="Merges today's small files.",
)
closed_day = dg.define_asset_job(
    "closed_day",
    selection=[compacted(name) for name in (*TABLES, *ROLLUPS)],
    description="Rewrites a closed day and checks it.",
)
retention = dg.define_asset_job(
    "retention",
    selection=[retained(kind.value) for kind in Kind],
    description="Runs the due steps of the retention policy: moves to the archive, drops from the hot store, deletes.",
)
heal_hot = dg.define_asset_job(
    "heal_hot",
    selection=[hot(kind.value) for kind in HOT_KINDS],
    description="Rebuilds days that the hot store should hold and does not answer for.",
)
roll_up = dg.define_asset_job(
    "roll_up",
    selection=[landed(name) for name in ROLLUPS],
    tags=SHORT,
    description="Adds landed metric points to their windows.",
)
vacuum = dg.define_asset_job("vacuum", selection=[upkeep.vacuumed_lake.key], description="Deletes unused files.")
old_runs = dg.define_asset_job(
    "old_runs", selection=[upkeep.old_runs.key], tags=SHORT, description="Deletes records of old runs."
)

erasures = dg.define_asset_job(
    "erasures", selection=[upkeep.erasures.key], tags=SHORT, description="Completes unfinished erasures."
)

ALL = [open_day, closed_day, retention, heal_hot, roll_up, vacuum, old_runs, erasures]
