"""Forecast: bytes of each tier by day, and the policy -> growth per day, and the day on which a disk would be full.

The forecast assumes that every future day has the mean size of the newest whole days, and leaves each tier when all of
its records are past their age. Limits by size count for the hot store only; rules that delete part of a day do not
count. Tables without a kind (rollups, ledger, results of checks, erasures) are under no policy and only grow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.upkeep.policy.policy import TRUE, Policy

MEAN_DAYS = 7
HORIZON_DAYS = 3650
ONE_DAY = dt.timedelta(days=1)

Sizes = Mapping[dt.date, int]
TableKey = tuple[Tier, str]  # a tier and the name of a table


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system with some tiers, and its free bytes."""

    tiers: frozenset[Tier]
    free_bytes: int


def growth(days: Sizes, today: dt.date) -> int | None:
    """Bytes per day: the mean of the newest whole days in a tier; None if the tier has no whole day."""
    whole = [size for day, size in sorted(days.items()) if day < today][-MEAN_DAYS:]
    return sum(whole) // len(whole) if whole else None


def full_on(held: Mapping[TableKey, Sizes], policy: Policy, today: dt.date, disk: Disk) -> dt.date | None:
    """The first day at whose end `disk` would be full; None: not within ten years."""
    aging = {table: days for table, days in held.items() if table[1] in tuple(Kind)}
    only_growing = [days for table, days in held.items() if table not in aging and table[0] in disk.tiers]
    steady = sum(growth(days, today) or 0 for days in only_growing)
    state = {table: dict(sorted(days.items())) for table, days in aging.items()}
    daily = {table: growth(days, today) or 0 for table, days in aging.items() if table[0] is not Tier.ARCHIVE}
    shrink = {kind: _shrink(held, kind) for kind in Kind}
    first = _size(state, disk, policy)
    for count in range(1, HORIZON_DAYS):
        day = today + count * ONE_DAY
        for table, size in daily.items():
            state.setdefault(table, {})[day] = size
        for kind in Kind:
            _pass(state, policy, kind, day, shrink[kind])
        if _size(state, disk, policy) - first + count * steady > disk.free_bytes:
            return day
    return None


def _shrink(held: Mapping[TableKey, Sizes], kind: Kind) -> float:
    """Ratio of a day's bytes in the archive to its bytes in the lake, by the means of both; 1 without an archive."""
    lake, archive = held.get((Tier.LAKE, kind), {}), held.get((Tier.ARCHIVE, kind), {})
    if not lake or not archive or not sum(lake.values()):
        return 1.0
    return min(1.0, (sum(archive.values()) / len(archive)) / (sum(lake.values()) / len(lake)))


def _pass(state: dict[TableKey, dict[dt.date, int]], policy: Policy, kind: Kind, today: dt.date, shrink: float) -> None:
    """Apply the policy's ages to `state` for one day."""
    hot, lake = state.get((Tier.HOT, kind), {}), state.get((Tier.LAKE, kind), {})
    archive = state.setdefault((Tier.ARCHIVE, kind), {})
    for day in _older(hot, today, policy.hot_days):
        del hot[day]
    moving = policy.archive_after_days
    for day in _older(lake, today, moving) if moving else ():
        archive[day] = archive.get(day, 0) + int(lake.pop(day) * shrink)
    for days in (lake, archive):
        for day in _over(days, policy, kind, today):
            del days[day]


def _older(days: Mapping[dt.date, int], today: dt.date, age: int) -> Sequence[dt.date]:
    found = []
    for day in days:  # in order
        if (today - day).days <= age:
            break
        found.append(day)
    return found


def _over(days: Mapping[dt.date, int], policy: Policy, kind: Kind, today: dt.date) -> Sequence[dt.date]:
    found = []
    for day in days:
        if policy.due(kind, (today - day).days) != TRUE:
            break
        found.append(day)
    return found


def _size(state: Mapping[TableKey, Sizes], disk: Disk, policy: Policy) -> int:
    sums = {tier: sum(sum(days.values()) for (of, _), days in state.items() if of is tier) for tier in disk.tiers}
    if policy.hot_max_bytes and Tier.HOT in sums:
        sums[Tier.HOT] = min(sums[Tier.HOT], policy.hot_max_bytes)
    return sum(sums.values())
