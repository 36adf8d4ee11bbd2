"""Due: metadata of the tables -> days that need upkeep, by job. The schedules call this; nothing is rewritten."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from contracts.bus import Bus
from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER
from lakehouse.upkeep.archive.holdings import HOT_KINDS, lake_days
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.policy.file import load_policy
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.rebuild.hot_day import days_to_rebuild
from lakehouse.upkeep.retention.plan import Plan, plan
from orchestration.due.closing import closed_kinds

Days = Mapping[str, Sequence[dt.date]]


def to_compact(care: Care, bus: Bus) -> Days:
    """Closed days of each table that were not rewritten and checked since rows came or went.

    Raises:
        BusError, StoreError: Bus or tables cannot be read now.
    """
    closed = closed_kinds(care, bus)
    through: dict[str, dt.date | None] = {kind.value: closed.get(kind) for kind in Kind}
    through[LEDGER] = min(closed.values(), default=None)
    return {name: _to_compact(care, name, day) for name, day in through.items() if day is not None}


def _to_compact(care: Care, name: str, through: dt.date) -> list[dt.date]:
    table = care.table(name)
    held = {day: each.rows for day, each in lake_days(table).items() if day <= through and day < care.today()}
    if not held:
        return []
    checked = held if name == LEDGER else quality.checked_rows(care, name, min(held))
    # A rewritten day may be unchecked: the check follows the rewriting and may fail.
    return [
        day
        for day, rows in held.items()
        if checked.get(day) != rows or table.noted(f"compacted:{day.isoformat()}") != rows
    ]


def to_rebuild(care: Care, bus: Bus) -> Days:
    """Closed days that the hot store should hold and does not answer for.

    Raises:
        BusError, ConfigError, StoreError: Bus or tables cannot be read now, or the retention policy is not valid.
    """
    closed, policy = closed_kinds(care, bus), load_policy(care.settings)
    return {kind.value: days_to_rebuild(care, kind, policy, closed.get(kind)) for kind in HOT_KINDS}


def by_policy(care: Care, bus: Bus) -> Plan:
    """The steps that the retention policy makes due.

    Raises:
        BusError, ConfigError, StoreError: As for `to_rebuild`.
    """
    return plan(care, load_policy(care.settings), closed_kinds(care, bus))


def turned(days: Days) -> dict[dt.date, list[str]]:
    """The tables of each day."""
    found: dict[dt.date, list[str]] = {}
    for name, each in days.items():
        for day in each:
            found.setdefault(day, []).append(name)
    return found
