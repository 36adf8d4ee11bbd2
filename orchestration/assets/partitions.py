"""Partitions: the first arrival day that was noted -> the days that the UI shows, up to today."""

from __future__ import annotations

import dagster as dg

from contracts.settings import load_settings
from orchestration.days import first_day

# `end_offset`: the open day is a partition too, so that it may be looked at; nothing rewrites it as a closed one.
ARRIVAL_DAY = dg.DailyPartitionsDefinition(
    start_date=first_day(load_settings()).isoformat(), timezone="UTC", end_offset=1
)
