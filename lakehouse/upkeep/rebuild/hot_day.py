"""Rebuild: a closed day of lake and archive -> its index in the hot store, swapped in when it is complete.

Everything runs meanwhile: reads take the day before, or the lake, until the switch. Killed at any step, the day is the
one before or the new one, and the next rebuild removes what is left.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.errors import ConfigError, StoreError
from contracts.messages import Kind
from lakehouse.upkeep.archive.holdings import HOT_KINDS, archive_days, lake_days
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.policy.policy import Policy
from lakehouse.upkeep.rebuild.lake_day import LakeDay


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was built. `bytes`: of the new index."""

    kind: Kind
    day: dt.date
    rows: int
    bytes: int
    took_s: float


def rebuild_hot(care: Care, kind: Kind, day: dt.date, say: Callable[[int, int], object] | None = None) -> Rebuilt:
    """Build the day anew from the lake and put it in place; trusted afterwards, whatever it was. Idempotent.

    Only a closed day (`orchestration.due.closing`): of one that still gets records the hot store refuses the switch.

    Args:
        say: Told how many rows of how many are built, now and then.

    Raises:
        ConfigError: The hot store holds no such records, or the day is not over.
        StoreError: The day in the hot store is as it was, or is left to the lake; the same call may be repeated.
    """
    _check(care, kind, day)
    started_s = time.perf_counter()
    with care.hot.rebuilder(kind, day) as building:
        there = LakeDay(care, kind, day)  # pinned only now: what is forgotten from here on ends this rebuild
        built = 0
        for batches in there.batches():
            building.add(batches)
            built += sum(len(batch.rows) for batch in batches)
            if say is not None:
                say(built, there.total)
        if built != there.total:
            raise StoreError(
                f"{built} rows of {kind.value} of {day} were read from the lake, which has {there.total}",
                hint="run it again; check the lake if that does not help",
            )
        if why := there.changed():
            raise _outdated(kind, day, why)
        building.complete(there.checkpoints)
    if why := there.changed():  # between the look and the switch: an erasure would not have found the day to forget it
        care.hot.forget(kind, day)
        raise _outdated(kind, day, why)
    return Rebuilt(kind, day, built, care.hot.size_bytes(kind, day), time.perf_counter() - started_s)


def _outdated(kind: Kind, day: dt.date, why: str) -> StoreError:
    return StoreError(f"{kind.value} of {day} were not rebuilt: {why} meanwhile", hint="run it again", retry_after_s=1)


def days_to_rebuild(care: Care, kind: Kind, policy: Policy, closed_through: dt.date | None) -> Sequence[dt.date]:
    """Closed days that lake or archive hold, that are young enough for the hot store, and that it does not answer for:
    absent, distrusted, forgotten or of another format. What was dropped stays so. Ascending.

    Raises:
        StoreError: A store cannot be asked.
    """
    if closed_through is None or kind not in HOT_KINDS:
        return ()
    oldest, newest = care.today() - dt.timedelta(days=policy.hot_days), min(closed_through, care.today())
    warm = care.table(kind.value)
    there = {*lake_days(warm), *archive_days(care, kind, warm)}
    done = {*care.hot.days(kind), *care.hot.dropped(kind)}
    return sorted(day for day in there - done if oldest <= day <= newest and day < care.today())


def _check(care: Care, kind: Kind, day: dt.date) -> None:
    if kind not in HOT_KINDS:
        raise ConfigError(f"the hot store does not hold {kind.value}", hint="they are in the lake only")
    if day >= care.today():
        raise ConfigError(f"{day} is not over: only closed days are rebuilt", hint="wait until the day has ended, UTC")
