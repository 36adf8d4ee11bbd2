"""Rebuild: a closed day of lake and archive -> a new index of the day in the hot store, swapped in when complete.

Flows and reads go on meanwhile: reads use the old index, or the lake, until the swap. If the rebuild is killed, the hot
store has either the old or the new index, and the next rebuild removes the leftovers.
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
    """Result of a rebuild. `bytes`: size of the new index."""

    kind: Kind
    day: dt.date
    rows: int
    bytes: int
    took_s: float


def rebuild_hot(care: Care, kind: Kind, day: dt.date, say: Callable[[int, int], object] | None = None) -> Rebuilt:
    """Build the day's index from the lake and swap it in; from then on the hot store trusts the day. Idempotent.

    The day must be closed (`orchestration.due.closing`), else the hot store refuses the swap.

    Args:
        say: Receives the number of built rows and the total, from time to time.

    Raises:
        ConfigError: The hot store holds no such records, or the day is not over.
        StoreError: The old index is unchanged, or the lake answers for the day; the same call may be repeated.
    """
    _check(care, kind, day)
    started_s = time.perf_counter()
    with care.hot.rebuilder(kind, day) as building:
        there = LakeDay(care, kind, day)  # pinned only now: if the day is forgotten from here on, this rebuild fails
        built = 0
        for batches in there.batches():
            building.add(batches)
            built += sum(len(batch.rows) for batch in batches)
            if say is not None:
                say(built, there.total)
        if built != there.total:
            raise StoreError(
                f"{built} rows of {kind.value} of {day} were read from the lake, but it has {there.total}",
                hint="run the rebuild again; if that fails too, check the lake",
            )
        if why := there.changed():
            raise _outdated(kind, day, why)
        building.complete(there.checkpoints)
    if why := there.changed():  # an erasure between check and swap could not forget the new index
        care.hot.forget(kind, day)
        raise _outdated(kind, day, why)
    return Rebuilt(kind, day, built, care.hot.size_bytes(kind, day), time.perf_counter() - started_s)


def _outdated(kind: Kind, day: dt.date, why: str) -> StoreError:
    return StoreError(f"{kind.value} of {day} not rebuilt: {why} meanwhile", hint="run it again", retry_after_s=1)


def days_to_rebuild(care: Care, kind: Kind, policy: Policy, closed_through: dt.date | None) -> Sequence[dt.date]:
    """Closed days of lake or archive that the hot store should hold and does not answer for, ascending.

    Such days are missing, distrusted, forgotten or of another format. Dropped days are left out.

    Raises:
        StoreError: A store cannot be read.
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
        raise ConfigError(f"the hot store does not hold {kind.value}", hint="query the lake")
    if day >= care.today():
        raise ConfigError(f"{day} is not over: only closed days are rebuilt", hint="wait until the day has ended, UTC")
