"""Results of checks are recorded, block a day, and are released by somebody for a reason."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.quality.results import CheckResult, Severity, blocked, days, history, latest, record, release
from tests.settings import settings

DAY = dt.date(2026, 3, 4)
NOON_NS = int(dt.datetime(2026, 3, 6, 12, tzinfo=dt.UTC).timestamp()) * 10**9


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.now_ns = NOON_NS

    def __call__(self) -> int:
        self.now_ns += 10**9
        return self.now_ns


@pytest.fixture
def care(tmp_path: Path) -> Care:
    return Care(settings(data_dir=tmp_path), Clock())


def result(check: str = "distinct_ids", failing: int = 0, day: dt.date = DAY, **given: Any) -> CheckResult:
    rows = [{"what": "id", "repeated": number} for number in range(failing)]
    severity = given.pop("severity", Severity.ERROR)
    observed = {"rows": 9, "failing": failing}
    return CheckResult("logs", day, check, not failing, severity, "ids are there once", observed, rows, **given)


def test_the_newest_run_counts(care: Care) -> None:
    record(care, [result(failing=2), result("severity_range")], {})
    record(care, [result(failing=0), result("severity_range", failing=1)], {})

    found = latest(care, "logs", DAY)

    assert [(one.check, one.passed) for one in found] == [("distinct_ids", True), ("severity_range", False)]
    assert found[1].failing == [{"what": "id", "repeated": 0}]
    assert found[1].checked == dt.datetime(2026, 3, 6, 12, 0, 2, tzinfo=dt.UTC)


def test_errors_block_their_day_of_their_table_and_warnings_nothing(care: Care) -> None:
    assert blocked(care, "logs", DAY) == []
    record(care, [result(failing=1), result("clock_behind", failing=1, severity=Severity.WARN)], {})

    assert blocked(care, "logs", DAY) == ["distinct_ids"]
    assert blocked(care, "logs", DAY + dt.timedelta(days=1)) == []
    assert blocked(care, "metrics", DAY) == []


def test_a_release_holds_until_more_rows_fail(care: Care) -> None:
    record(care, [result(failing=2)], {})
    assert release(care, "logs", DAY, "ada", "a test of the shop's") == ["distinct_ids"]
    assert blocked(care, "logs", DAY) == []
    [found] = latest(care, "logs", DAY)
    assert not found.passed
    assert found.released == "by ada on 2026-03-06 12:00: a test of the shop's"

    record(care, [result(failing=2)], {})
    assert blocked(care, "logs", DAY) == []

    record(care, [result(failing=3)], {})
    assert blocked(care, "logs", DAY) == ["distinct_ids"]


def test_a_release_needs_a_name_a_reason_and_something_to_release(care: Care) -> None:
    assert release(care, "logs", DAY, "ada", "nothing failed") == []
    with pytest.raises(ConfigError, match="a name and a reason"):
        release(care, "logs", DAY, "ada", " ")


def test_facts_of_the_days_before_are_the_newest_of_each(care: Care) -> None:
    for day, rows in ((1, 10), (2, 20), (1, 11), (4, 40)):
        record(care, [result(day=dt.date(2026, 3, day))], {"rows": rows})

    found = history(care, "logs", DAY, most=7)

    assert [(day.day, facts["rows"]) for day, facts in found] == [(2, 20), (1, 11)]
    assert [day.day for day in days(care, "logs", DAY)] == [4]
