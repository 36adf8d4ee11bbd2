"""Partitions: the noted first arrival day -> the days in the UI, up to today."""

from __future__ import annotations

import dagster as dg

from contracts.settings import load_settings
from orchestration.days import first_day

# `end_offset`: the open day is a partition too, so that the UI shows it; no run rewrites it as a closed day.
ARRIVAL_DAY = dg.DailyPartitionsDefinition(
    start_date=first_day(load_settings()).isoformat(), timezone="UTC", end_offset=1
)
