"""Definitions: assets, checks, jobs, schedules and sensors of this room -> the object that Dagster loads.

dagster dev -m orchestration.definitions
"""

from __future__ import annotations

import dagster as dg

from orchestration.assets import dead_letters, events, landing, ledger, logs, metrics, upkeep
from orchestration.failures import sensors
from orchestration.resources import Upkeep
from orchestration.schedules import jobs, schedules

FILES = (logs, metrics, events, dead_letters, ledger, upkeep)

defs = dg.Definitions(
    assets=[asset for file in FILES for asset in file.ASSETS],
    asset_checks=landing.CHECKS,
    jobs=jobs.ALL,
    schedules=schedules.SCHEDULES,
    sensors=[landing.landing, sensors.pipeline_failure],
    resources={"upkeep": Upkeep()},
    executor=dg.in_process_executor,
)
