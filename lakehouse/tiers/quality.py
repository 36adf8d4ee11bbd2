"""Quality: results of checks -> Delta table `quality`; what blocks the archiving of a day, and its release."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.tiers.care import Care


class Severity(enum.StrEnum):
    """ERROR blocks archiving, WARN is shown."""

    ERROR = "ERROR"
    WARN = "WARN"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found in one day of one table.

    Attributes:
        observed: Bounds, rows looked at, rows that fail.
        failing: Rows of the profile that fail, the worst first; at most 20.
    """

    table: str
    day: dt.date
    check: str
    passed: bool
    severity: Severity
    description: str
    observed: Mapping[str, Any] = field(default_factory=dict)
    failing: Sequence[Mapping[str, Any]] = ()


def record(care: Care, results: Sequence[CheckResult], facts: Mapping[str, Any]) -> None:
    """Append one row per result, and the facts that later days are compared with."""
    raise NotImplementedError


def latest(care: Care, name: str, day: dt.date) -> Sequence[CheckResult]:
    """The results of the newest run for that day; none when it was never checked."""
    raise NotImplementedError


def blocked(care: Care, name: str, day: dt.date) -> Sequence[str]:
    """The ERROR checks that failed in the newest run and were not released since: the day is not archived."""
    raise NotImplementedError


def release(care: Care, name: str, day: dt.date, by: str, reason: str) -> Sequence[str]:
    """Let the day be archived although checks fail; which ones were released."""
    raise NotImplementedError
