"""Defects that are put into a day are named by their check, and a clean day raises none."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from contracts.messages import Kind
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.removal import remove
from lakehouse.upkeep.archive.moves import archive_day
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.quality.results import CheckResult
from orchestration.assets.expectations import ERROR, check_day, declared, run
from tests.orchestration.checked_days import (
    DAY,
    FIRST,
    all_days,
    care_of,
    each,
    land,
    messages,
    rewrite,
    rows_of_day,
    table,
)

HOURS = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days that landed; the three before `DAY` are checked."""
    folder = tmp_path_factory.mktemp("clean")
    care = care_of(folder)
    land(care, messages(all_days()))
    for day in all_days()[:3]:
        assert failed(check_day(care, "logs", day, declared("logs"))) == []
    return folder


@pytest.fixture
def care(clean: Path, tmp_path: Path) -> Care:
    shutil.copytree(clean, tmp_path / "copy")
    return care_of(tmp_path / "copy")


def failed(results: Sequence[CheckResult], *severities: quality.Severity) -> list[str]:
    return [
        result.check for result in results if not result.passed and result.severity in (severities or result.severity)
    ]


def checked(care: Care) -> Sequence[CheckResult]:
    return run(care, "logs", DAY, declared("logs"))


def test_a_clean_day_that_follows_clean_days_raises_nothing(care: Care) -> None:
    results = checked(care)

    assert failed(results) == []
    assert [result.check for result in results] == [expectation.check for expectation in declared("logs")]
    assert all(result.observed["rows"] > 0 for result in results)


Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
Row = dict[str, Any]


def _web(row: Row) -> bool:
    return bool(row["service"] == "web")


def _few(row: Row) -> bool:
    return bool(row["bus_partition"] == 0 and row["bus_index"] < 3)


def _sequence_of_the_row_before(rows: list[Row]) -> list[Row]:
    assert (rows[0]["bus_offset"], rows[0]["producer"]) == (rows[1]["bus_offset"], rows[1]["producer"])
    rows[1]["sequence"] = rows[0]["sequence"]
    return rows


DEFECTS: dict[str, tuple[str, Change]] = {
    "a null column": ("required_columns", each(_few, body=None)),
    "a required column that is empty": ("required_columns", each(_few, pipeline="")),
    "a severity out of range": ("severity_range", each(_few, severity_number=25)),
    "a clock that is two hours ahead": (
        "clock_ahead",
        each(_web, timestamp=lambda row: row["observed_timestamp"] + 2 * HOURS),
    ),
    "a record id that is there twice": ("distinct_ids", _sequence_of_the_row_before),
    "a message that is there twice": (
        "distinct_ids",
        lambda rows: rows + [row for row in rows if (row["bus_partition"], row["bus_offset"]) == (0, 80)],
    ),
    "rows that are missing": ("offset_contiguity", lambda rows: [row for row in rows if not _few(row)]),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_by_its_check_and_by_no_other(defect: str, care: Care) -> None:
    check, change = DEFECTS[defect]
    rewrite(care, change)

    results = checked(care)

    assert failed(results, ERROR) == [check]
    [result] = [result for result in results if result.check == check]
    assert result.failing


def test_what_may_be_meant_so_is_a_warning(care: Care) -> None:
    agents_own = '{"log.file.name":"a.log","log.file.path":"/a.log"}'
    unread = each(_web, severity_number=0, severity_text="", attributes=agents_own)
    behind = each(lambda row: not _web(row), timestamp=lambda row: row["observed_timestamp"] - 2 * HOURS)
    rewrite(care, lambda rows: behind(unread(rows)))

    results = checked(care)

    assert failed(results, ERROR) == []
    services = {
        result.check: [row["service"] for row in result.failing]
        for result in results
        if result.check in ("unparsed_share", "clock_behind")
    }
    assert services == {"unparsed_share": ["web", "web"], "clock_behind": ["api", "api"]}


def test_attributes_that_are_new_or_of_another_type_are_a_warning(care: Care) -> None:
    rewrite(care, each(_web, attributes='{"colour":"red","http.response.status_code":"200","route":"/1"}'))

    results = checked(care)

    assert failed(results) == ["attribute_drift"]
    [result] = [result for result in results if not result.passed]
    assert {row["key"] for row in result.failing} == {"colour", "http.response.status_code"}


def test_an_hour_with_hardly_any_records_is_named(tmp_path: Path) -> None:
    care = care_of(tmp_path)
    land(care, messages(all_days(), lambda day, hour: 5 if (day, hour) == (DAY, 10) else 60))
    for day in all_days()[:3]:
        check_day(care, "logs", day, declared("logs"))

    results = checked(care)

    assert failed(results, ERROR) == ["volume_drop"]
    [row] = next(result.failing for result in results if result.check == "volume_drop")
    assert (row["hour"], row["records"], row["usual"]) == (10, 10, 120)


def test_days_that_a_flow_lands_at_once_after_it_was_down_are_clean(tmp_path: Path) -> None:
    care = care_of(tmp_path)
    land(care, messages(all_days()), every=1_000_000)

    for day in all_days()[1:-1]:
        results = run(care, "logs", day, declared("logs"))
        assert failed(results, ERROR) == [], (day, [result.failing for result in results if not result.passed])


def test_an_offset_without_an_account_is_named(tmp_path: Path) -> None:
    care = care_of(tmp_path)
    land(care, (item for item in messages(all_days()) if (item.partition, item.offset) != (1, 84)))

    results = checked(care)

    assert failed(results, ERROR) == ["offset_contiguity"]
    [row] = next(result.failing for result in results if result.check == "offset_contiguity")
    assert (row["bus_partition"], row["problem"]) == (1, "1 offsets without an account")


def test_rows_whose_account_is_gone_are_named(care: Care) -> None:
    DeltaTable(f"{care.settings.lake}/ledger").delete(f"day = '{DAY}' AND bus_partition = 1 AND first_offset > 80")

    results = checked(care)

    assert failed(results, ERROR) == ["offset_contiguity"]
    assert "rows without an account" in str([result.failing for result in results if not result.passed])


def test_a_new_column_and_one_that_vanished_are_named(care: Care) -> None:
    day = rows_of_day(care)
    wider = day.append_column("extra", pa.nulls(len(day), pa.string()))
    write_deltalake(table(care), wider, schema_mode="merge", mode="overwrite", predicate=f"day = '{DAY}'")
    [result] = [result for result in checked(care) if not result.passed]
    assert (result.check, result.failing[0]["column"]) == ("schema_drift", "extra")

    lost = rows_of_day(care).drop_columns(["extra", "span_id"])
    write_deltalake(table(care), lost, schema_mode="overwrite", mode="overwrite")
    results = checked(care)
    assert "schema_drift" in failed(results, ERROR)
    assert {row["column"] for result in results if result.check == "schema_drift" for row in result.failing} == {
        "span_id"
    }


def test_a_source_that_fell_silent_is_a_warning(care: Care) -> None:
    rewrite(care, each(lambda row: _web(row) and row["observed_timestamp"].hour > 9, host="h3"))

    results = checked(care)

    assert failed(results, ERROR) == []
    [result] = [result for result in results if result.check == "source_freshness"]
    assert {row["host"] for row in result.failing} == {"h2"}


def test_a_source_that_stopped_is_a_warning_on_the_first_day_without_it_and_on_no_other(tmp_path: Path) -> None:
    care = care_of(tmp_path)
    land(care, messages(all_days()))
    check_day(care, "logs", FIRST, declared("logs"))
    for day in all_days()[1:]:
        rewrite(care, lambda rows: [row for row in rows if not _web(row)], day)
    silent = {}

    for day in all_days()[1:4]:
        results = check_day(care, "logs", day, declared("logs"))
        [result] = [result for result in results if result.check == "source_freshness"]
        silent[day] = sorted((row["tenant"], row["service"], row["records"]) for row in result.failing)

    assert list(silent.values()) == [[("acme", "web", 0), ("other", "web", 0)], [], []]


def test_a_day_on_which_a_table_fell_silent_is_named(care: Care) -> None:
    rewrite(care, lambda rows: [], DAY)

    results = checked(care)

    assert {"volume_drop", "source_freshness"} <= set(failed(results))
    [result] = [result for result in results if result.check == "source_freshness"]
    assert {row["service"] for row in result.failing} == {"api", "web"}


def test_a_limit_is_an_argument_of_its_expectation(care: Care) -> None:
    expectations = [replace(e, at_most=5) for e in declared("logs") if e.check == "attribute_cardinality"]

    [result] = run(care, "logs", DAY, expectations)

    assert [(row["key"], row["distinct"]) for row in result.failing] == [("route", 7)]


def test_the_first_day_ever_is_compared_with_nothing(care: Care) -> None:
    assert failed(run(care, "logs", FIRST, declared("logs"))) == []


def test_a_day_that_was_moved_to_the_archive_is_checked_there(care: Care) -> None:
    assert archive_day(care, Kind.LOGS, DAY).rows > 0

    results = checked(care)

    assert failed(results) == []
    assert all(result.observed["rows"] > 0 for result in results)


def test_rows_that_were_removed_and_counted_are_not_missed(care: Care) -> None:
    removed = remove(care.table("logs"), f"day = DATE '{DAY}' AND bus_offset = 80", RETENTION)
    assert sum(removed.values()) == 120
    assert "offset_contiguity" not in failed(checked(care))

    rewrite(care, lambda rows: rows[1:])

    assert failed(checked(care), ERROR) == ["offset_contiguity"]
