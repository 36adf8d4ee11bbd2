"""`headwater rebuild-hot`: closed days of lake and archive -> their indexes in the hot store, anew."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.errors import ConfigError
from contracts.messages import Kind
from headwater.console import counted, out, size
from headwater.presence import is_missing

if TYPE_CHECKING:
    from contracts.bus import Bus
    from contracts.settings import Settings
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.rebuild.hot_day import Rebuilt

HOT = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
MOST_DAYS = 3660


def rebuild_hot(settings: Settings, days: str, kinds: Sequence[str]) -> int:
    """Beside running services. Always 0: what was not asked as it can be done is refused before anything is changed.

    Raises:
        ConfigError: The range or a kind cannot be read, or a day is not closed.
        BusError, StoreError: Days that were told are rebuilt; the others are as they were. The same may be done again.
    """
    wanted, chosen = days_of(days), kinds_of(kinds)
    if is_missing(settings.lake):
        out.print("nothing stored yet")
        return 0
    with _opened(settings) as (care, bus):
        work = [(kind, day) for kind in chosen for day in _with_records(care, bus, kind, wanted)]
        for kind, day in work:
            _tell(_rebuilt(care, kind, day))
    if not work:
        out.print(f"the lake has no {', '.join(chosen)} of {days}: nothing to rebuild")
    return 0


def days_of(text: str) -> Sequence[dt.date]:
    """The days of `2026-01-01` or `2026-01-01..2026-01-05`, both ends included.

    Raises:
        ConfigError: It is neither, or all of them are still to come.
    """
    first, dots, last = text.partition("..")
    try:
        start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last if dots else first)
    except ValueError as error:
        raise ConfigError(f'--days "{text}": {error}', hint="write 2026-01-31, or 2026-01-01..2026-01-31") from error
    if not 0 <= (end - start).days < MOST_DAYS:
        raise ConfigError(f'--days "{text}" ends before it begins, or is too long', hint="the earlier day comes first")
    if start > (today := dt.datetime.now(dt.UTC).date()):
        raise ConfigError(f'--days "{text}": these days are still to come', hint=f"today is {today} (UTC)")
    return [start + dt.timedelta(days=number) for number in range((end - start).days + 1)]


def kinds_of(names: Sequence[str]) -> Sequence[Kind]:
    """None named: all that the hot store holds.

    Raises:
        ConfigError: It holds no such kind.
    """
    for name in names:
        if name not in HOT:
            raise ConfigError(f'the hot store does not hold "{name}"', hint=f"use one of {', '.join(HOT)}")
    return [kind for kind in HOT if not names or kind.value in names]


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Care, Bus]]:
    from bus import open_bus
    from lakehouse.upkeep.care import Care

    looking = settings.model_copy(update={"bus_topics_apply": False})
    with contextlib.closing(open_bus(settings.bus, looking)) as queue, contextlib.closing(Care(settings)) as care:
        yield care, queue


def _with_records(care: Care, bus: Bus, kind: Kind, wanted: Sequence[dt.date]) -> Sequence[dt.date]:
    """Those of the wanted days that lake or archive have records of, or the hot store an index.

    Raises:
        ConfigError: One of them is not closed.
    """
    from lakehouse.upkeep.archive.holdings import archive_days, lake_days
    from orchestration.due.closing import closed_through

    warm = care.table(kind.value)
    there = {*lake_days(warm), *archive_days(care, kind, warm), *(held.day for held in care.hot.held(kind))}
    found = sorted(there & set(wanted))
    closed = closed_through(care, bus, kind)
    still_open = [day for day in found if closed is None or day > closed]
    if still_open:
        raise ConfigError(
            f"{kind.value} of {still_open[0]} are not closed: the day is not over, or not all of it is in the lake",
            hint="wait for that, or leave that day out; see headwater status",
        )
    return found


def _rebuilt(care: Care, kind: Kind, day: dt.date) -> Rebuilt:
    from lakehouse.upkeep.rebuild.hot_day import rebuild_hot as rebuild

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as progress:
        task = progress.add_task(f"{kind.value} of {day}", total=0)
        return rebuild(care, kind, day, lambda built, total: progress.update(task, completed=built, total=total))


def _tell(done: Rebuilt) -> None:
    rate = done.rows / done.took_s if done.took_s else 0.0
    rows = counted(done.rows, "record")
    out.print(
        f"rebuilt {done.kind} of {done.day}: {rows}, {size(done.bytes)}, {done.took_s:.1f} s ({rate:,.0f} a second)"
    )
