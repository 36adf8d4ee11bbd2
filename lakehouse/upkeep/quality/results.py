"""Quality: results of checks -> Delta table `quality`; the checks that block archiving, and their release.

A run appends one row per check, and one row with the facts that later days are compared with. A release appends one row
per check that it lets pass. No row is changed or removed, so all results and releases can be read later.
"""

from __future__ import annotations

import datetime as dt
import enum
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from contracts.errors import ConfigError
from lakehouse.delta.schemas import QUALITY, SCHEMAS, pipeline_version
from lakehouse.sql.literals import day_literal, text_literal
from lakehouse.upkeep.archive.holdings import lake_days
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import pinned_rows

HISTORY_DAYS = 60  # age limit of the facts that a day is compared with
UNCHECKED = "unchecked"  # name in a release that approves a day although no check ran on it

_FACTS, _RELEASE = "FACTS", "RELEASE"
_encode = msgspec.json.Encoder(enc_hook=str, order="sorted").encode


class _Counted(msgspec.Struct):
    """Part of FACTS: the rows of the day, and those in the lake; results of older releases have only `rows`."""

    rows: int | None = None
    in_lake: int | None = None


class Severity(enum.StrEnum):
    """A failed ERROR check blocks archiving; a failed WARN check is only shown."""

    ERROR = "ERROR"
    WARN = "WARN"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check of one day of one table.

    Attributes:
        observed: "rows" tested, "failing" rows, the bounds "at_least" and "at_most", and the "column".
        failing: Rows of the profile that fail, the worst first; at most 20.
        checked: Time of the run, UTC; None before the result is recorded.
        released: Name, time and reason of the release of a failed ERROR check; "" if the check is not released.
    """

    table: str
    day: dt.date
    check: str
    passed: bool
    severity: Severity
    description: str
    observed: Mapping[str, Any] = field(default_factory=dict)
    failing: Sequence[Mapping[str, Any]] = ()
    checked: dt.datetime | None = None
    released: str = ""


def record(care: Care, results: Sequence[CheckResult], facts: Mapping[str, Any]) -> None:
    """Append the results of one run, and the facts that later days are compared with.

    Raises:
        StoreError: The rows may or may not be written; a later run replaces them.
    """
    if not results:
        return
    rows: list[dict[str, Any]] = [
        {
            "check_name": result.check,
            "severity": result.severity.value,
            "passed": result.passed,
            "details": {
                "description": result.description,
                "observed": result.observed,
                "failing": list(result.failing),
            },
        }
        for result in results
    ]
    rows.append({"check_name": "profile", "severity": _FACTS, "passed": True, "details": facts})
    _append(care, results[0].table, results[0].day, rows)


def latest(care: Care, name: str, day: dt.date) -> Sequence[CheckResult]:
    """The results of the newest run for a day of a table, in order; none if the day was never checked.

    Raises:
        StoreError: The table cannot be read.
    """
    return _latest(_rows(care, f"{_of_day(name, day)} AND severity <> '{_FACTS}'"))


def days(care: Care, name: str, since: dt.date) -> Sequence[dt.date]:
    """The checked days of a table, from `since` on; the newest first."""
    return sorted(checked_rows(care, name, since), reverse=True)


def checked_rows(care: Care, name: str, since: dt.date) -> Mapping[dt.date, int | None]:
    """The checked days of a table, from `since` on, with the number of rows in the lake at the newest run; None if
    that run did not write the number.

    Raises:
        StoreError: The table cannot be read.
    """
    rows = _rows(care, f"name = {text_literal(name)} AND day >= {day_literal(since)} AND severity = '{_FACTS}'")
    return {day: _counted(row) for day, row in _newest(rows).items()}


def blocked(care: Care, name: str, day: dt.date) -> Sequence[str]:
    """The ERROR checks that failed in the newest run and were not released; they block archiving.

    Raises:
        StoreError: The table cannot be read.
    """
    return [result.check for result in latest(care, name, day) if _blocks(result)]


def hold(care: Care, name: str, day: dt.date, rows: int) -> str:
    """The reason why a day with `rows` rows in the lake is not archived, and the remedy; "" if archiving is allowed.

    A day without checks is not archived either.

    Raises:
        StoreError: The table cannot be read.
    """
    found = _rows(care, _of_day(name, day))
    if failed := [result.check for result in _latest(found) if _blocks(result)]:
        return (
            f"{name} of {day} is not archived: {', '.join(failed)} failed; see headwater quality,"
            " or approve the day with `headwater quality release`"
        )
    if not (why := _unchecked(found, day, rows)):
        return ""
    return (
        f"{name} of {day} is not archived yet: {why}; see headwater quality,"
        f" or run `headwater quality run --table {name} --day {day}`, or approve it with `headwater quality release`"
    )


def release(care: Care, name: str, day: dt.date, by: str, reason: str) -> Sequence[str]:
    """Approve the archiving of a day although checks fail or did not run. The release holds for later runs as long as
    no more rows fail and no more rows come.

    Returns:
        The released checks, and `UNCHECKED`; none if archiving was not blocked, and then nothing is written.

    Raises:
        ConfigError: The name or the reason is missing.
        StoreError: The release may or may not be written; the same call may be repeated.
    """
    if not by.strip() or not reason.strip():
        raise ConfigError("a release needs a name and a reason", hint="give --by and --reason")
    known = _rows(care, _of_day(name, day))
    found = {result.check: result.observed.get("failing", 0) for result in _latest(known) if _blocks(result)}
    held = lake_days(care.table(name)).get(day)
    if held and _unchecked(known, day, held.rows):
        found[UNCHECKED] = held.rows
    rows = [
        {
            "check_name": check,
            "severity": _RELEASE,
            "passed": False,
            "details": {"by": by, "reason": reason, "failing": failing},
        }
        for check, failing in found.items()
    ]
    if rows:
        _append(care, name, day, rows)
    return list(found)


def history(care: Care, name: str, day: dt.date, most: int) -> Sequence[tuple[dt.date, Mapping[str, Any]]]:
    """The facts of up to `most` days before `day`, from the newest run of each day, the newest day first."""
    since = day - dt.timedelta(days=HISTORY_DAYS)
    rows = _rows(
        care,
        f"name = {text_literal(name)} AND day >= {day_literal(since)} AND day < {day_literal(day)}"
        f" AND severity = '{_FACTS}'",
    )
    newest = _newest(rows)
    return [(at, msgspec.json.decode(newest[at]["details"])) for at in sorted(newest, reverse=True)[:most]]


def _newest(facts: Sequence[Mapping[str, Any]]) -> dict[dt.date, Mapping[str, Any]]:
    return {row["day"]: row for row in sorted(facts, key=lambda row: (row["timestamp"], row["run"]))}


def _counted(facts: Mapping[str, Any]) -> int | None:
    counted = msgspec.json.decode(facts["details"], type=_Counted)
    return counted.rows if counted.in_lake is None else counted.in_lake


def _latest(rows: Sequence[Mapping[str, Any]]) -> Sequence[CheckResult]:
    runs = [row for row in rows if row["severity"] not in (_FACTS, _RELEASE)]
    newest = max(((row["timestamp"], row["run"]) for row in runs), default=None)
    ordered = sorted(
        (row for row in runs if (row["timestamp"], row["run"]) == newest), key=lambda row: int(row["place"])
    )
    return [_result(row, _releases(rows)) for row in ordered]


def _unchecked(found: Sequence[Mapping[str, Any]], day: dt.date, rows: int) -> str:
    """The reason why the day counts as unchecked; "" if checks have seen its rows, or the day was released."""
    newest = _newest([row for row in found if row["severity"] == _FACTS]).get(day)
    if not rows or (newest and _counted(newest) == rows) or _released(UNCHECKED, rows, _releases(found)):
        return ""
    return "its rows changed after the check" if newest else "it was not checked"


def _releases(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [row for row in rows if row["severity"] == _RELEASE]


def _blocks(result: CheckResult) -> bool:
    return not result.passed and result.severity is Severity.ERROR and not result.released


def _append(care: Care, name: str, day: dt.date, rows: Sequence[Mapping[str, Any]]) -> None:
    run = f"{time.time_ns():016x}{uuid.uuid4().hex[:16]}"  # sorts by time, unique also within one instant
    at = dt.datetime.fromtimestamp(care.now_ns() / 1e9, dt.UTC)
    same = {"day": day, "name": name, "timestamp": at, "run": run, "pipeline": pipeline_version()}
    filled = [
        {**same, **row, "place": place, "details": _encode(row["details"]).decode()} for place, row in enumerate(rows)
    ]
    care.table(QUALITY).add(pa.Table.from_pylist(filled, SCHEMAS[QUALITY]), {})


def _of_day(name: str, day: dt.date) -> str:
    return f"name = {text_literal(name)} AND day = {day_literal(day)}"


def _rows(care: Care, where: str) -> list[dict[str, Any]]:
    return pinned_rows(care.table(QUALITY), f"SELECT * FROM {QUALITY} WHERE {where}")


def _result(row: Mapping[str, Any], releases: Sequence[Mapping[str, Any]]) -> CheckResult:
    details = msgspec.json.decode(row["details"])
    return CheckResult(
        table=row["name"],
        day=row["day"],
        check=row["check_name"],
        passed=row["passed"],
        severity=Severity(row["severity"]),
        description=details["description"],
        observed=details["observed"],
        failing=details["failing"],
        checked=row["timestamp"],
        released="" if row["passed"] else _released(row["check_name"], details["observed"].get("failing", 0), releases),
    )


def _released(check: str, failing: int, releases: Sequence[Mapping[str, Any]]) -> str:
    for row in sorted(releases, key=lambda row: row["timestamp"], reverse=True):
        details = msgspec.json.decode(row["details"])
        if row["check_name"] == check and failing <= details["failing"]:
            return f"by {details['by']} on {row['timestamp']:%Y-%m-%d %H:%M}: {details['reason']}"
    return ""
