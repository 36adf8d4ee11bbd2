"""`headwater quality`: the table `quality` -> what checks found in a day, run again, or let pass."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.messages import Kind
from headwater.console import counted, out, table
from headwater.presence import NONE_YET, is_missing

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.quality.results import CheckResult

EARLIEST = dt.date(1677, 9, 21)  # where nanoseconds in 64 bits begin
SHOWN_DAYS = 60  # how far back the newest checked day is looked for
SHOWN_ROWS = 5  # of each failed check; --json has all


def show(settings: Settings, name: str, day: str, as_json: bool) -> int:
    """The newest results; of the newest checked day of each table, or of `day`. 1 when an ERROR check blocks a day."""
    names = [_named(name)] if name else [kind.value for kind in Kind]
    at = _day(day) if day else None
    if is_missing(settings.lake):
        out.print(NONE_YET)
        return 0
    from lakehouse.upkeep.quality.results import days, latest

    found: list[CheckResult] = []
    with _care(settings) as care:
        for each in names:
            since = care.today() - dt.timedelta(days=SHOWN_DAYS)
            checked = [at] if at else days(care, each, since)[:1]
            found += [result for one in checked for result in latest(care, each, one)]
    return _told(found, as_json)


def run(settings: Settings, name: str, day: str) -> int:
    """Check a day now and record the results; the default day is yesterday.

    Raises:
        ConfigError: No such table, or no day that is over: what came after the check would be taken for checked.
    """
    names = [_named(name)] if name else [kind.value for kind in Kind]
    at = _over(_day(day)) if day else None
    if is_missing(settings.lake):
        out.print(NONE_YET)
        return 0
    from orchestration.assets.expectations import check_day, declared

    found: list[CheckResult] = []
    with _care(settings) as care:
        for each in names:
            yesterday = care.today() - dt.timedelta(days=1)
            found += check_day(care, each, at or yesterday, declared(each))
    return _told(found, as_json=False)


def release(settings: Settings, name: str, day: str, by: str, reason: str) -> int:
    """Let a day be archived although checks fail."""
    kind, at = _named(name), _day(day)
    if is_missing(settings.lake):
        out.print(NONE_YET)
        return 0
    from lakehouse.upkeep.quality.results import release as let_pass

    with _care(settings) as care:
        released = let_pass(care, kind, at, by, reason)
    if not released:
        out.print(f"nothing of {name} on {day} is blocked")
        return 0
    out.print(f"{name} of {day} may be archived: {', '.join(released)} released by {by}")
    return 0


@contextmanager
def _care(settings: Settings) -> Iterator[Care]:
    from lakehouse.upkeep.care import Care

    care = Care(settings)
    try:
        yield care
    finally:
        care.close()


def _named(name: str) -> str:
    if name not in {kind.value for kind in Kind}:
        raise ConfigError(f'there is no table "{name}"', hint=f"one of {', '.join(Kind)}")
    return name


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f'"{text}" is not a day', hint="write it as 2026-03-04") from None


def _over(day: dt.date) -> dt.date:
    today = dt.datetime.now(dt.UTC).date()
    if day >= today:
        raise ConfigError(
            f"{day} is not over and cannot be checked: today is {today} (UTC)",
            hint="check a day before today; without --day it is yesterday",
        )
    if day < EARLIEST:
        raise ConfigError(f"{day} cannot be checked: no record is older than {EARLIEST}", hint="correct --day")
    return day


def _told(found: Sequence[CheckResult], as_json: bool) -> int:
    failures = [result for result in found if not result.passed]
    blocking = [result for result in failures if result.severity == "ERROR" and not result.released]
    if as_json:
        print(json.dumps([_entry(result) for result in found], indent=2, default=str))
    elif not found:
        out.print("no day was checked yet; check one: headwater quality run --table logs --day 2026-03-04")
    else:
        _print(found, failures)
        if blocking:
            out.print(
                f"\n{counted(len(blocking), 'check keeps', 'checks keep')} a day out of the archive; to let it pass: "
                "headwater quality release --table … --day … --by … --reason …"
            )
    return 1 if blocking else 0


def _print(found: Sequence[CheckResult], failures: Sequence[CheckResult]) -> None:
    rows = table("table", "day", "check", "result", ">looked at", ">failing", "means")
    for result in found:
        rows.add_row(
            result.table,
            str(result.day),
            result.check,
            _outcome(result),
            f"{result.observed.get('rows', 0):,}",
            f"{result.observed.get('failing', 0):,}",
            result.description,
        )
    out.print(rows)
    for result in failures:
        out.print(f"\n{result.table} {result.day} {result.check}", style="bold")
        columns = list(result.failing[0]) if result.failing else []
        shown = table(*columns)
        for row in result.failing[:SHOWN_ROWS]:
            shown.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
        out.print(shown)


def _outcome(result: CheckResult) -> str:
    if result.passed:
        return "[green]passed[/]"
    if result.released:
        return f"[yellow]released[/] {result.released}"
    return "[bold red]ERROR[/]" if result.severity == "ERROR" else "[yellow]WARN[/]"


def _entry(result: CheckResult) -> dict[str, object]:
    return {
        "table": result.table,
        "day": str(result.day),
        "check": result.check,
        "passed": result.passed,
        "severity": result.severity.value,
        "description": result.description,
        "observed": dict(result.observed),
        "failing": list(result.failing),
        "checked": result.checked,
        "released": result.released,
    }
