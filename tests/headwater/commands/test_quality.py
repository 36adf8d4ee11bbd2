"""`headwater quality` and `headwater trace`: results as tables, exit codes, and what to do."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.settings import Settings
from headwater.commands import quality, trace
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.quality.results import CheckResult, Severity, days, record
from tests.lakehouse.lake_samples import batch, log
from tests.settings import settings

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


@pytest.fixture
def checked(tmp_path: Path) -> Settings:
    """One day with a failed ERROR check and a failed WARN check."""
    care = Care(settings(data_dir=tmp_path))
    hour = {"hour": 10, "records": 3, "usual": 400, "days": 7, "ratio": 0.0075}
    results = [
        CheckResult("logs", DAY, "distinct_ids", True, Severity.ERROR, "ids are there once", {"rows": 2, "failing": 0}),
        CheckResult("logs", DAY, "volume_drop", False, Severity.ERROR, "as usual", {"rows": 24, "failing": 1}, [hour]),
        CheckResult("logs", DAY, "volume_change", False, Severity.WARN, "as usual", {"rows": 24, "failing": 1}, [hour]),
    ]
    record(care, results, {"rows": 3})
    return care.settings


def test_failing_rows_of_the_profile_are_shown_and_the_exit_code_says_that_the_day_waits(
    checked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quality.show(checked, "", "", as_json=False) == 1

    text = capsys.readouterr().out
    assert "1 check keeps a day out of the archive" in text
    assert "0.0075" in text

    assert quality.show(checked, "logs", str(DAY), as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(entry["check"], entry["passed"]) for entry in found][1] == ("volume_drop", False)
    assert found[1]["failing"][0]["hour"] == 10


def test_a_released_day_is_shown_as_released(checked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.release(checked, "logs", str(DAY), "ada", "a holiday") == 0
    assert "volume_drop released by ada" in capsys.readouterr().out

    assert quality.show(checked, "logs", "", as_json=False) == 0
    assert "a holiday" in capsys.readouterr().out


def test_without_a_lake_or_a_checked_day_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.show(settings(data_dir=tmp_path), "", "", as_json=False) == 0
    assert "none yet" in capsys.readouterr().out
    assert trace.trace(settings(data_dir=tmp_path), "0:1:2", "logs", "", as_json=False) == 1
    assert "in neither lake nor archive" in capsys.readouterr().out


def test_a_release_makes_no_lake_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = settings(data_dir=tmp_path, lake_url=str(tmp_path / "lake"))
    assert quality.release(given, "logs", str(DAY), "ada", "a holiday") == 0
    assert "none yet" in capsys.readouterr().out
    assert not (tmp_path / "lake").exists()


def test_a_day_that_is_not_over_is_not_checked_and_nothing_is_recorded(checked: Settings) -> None:
    today = dt.datetime.now(dt.UTC).date()
    for at in (today, today + dt.timedelta(days=1), dt.date.max):
        with pytest.raises(ConfigError, match=f"{at} is not over and cannot be checked: today is "):
            quality.run(checked, "logs", str(at))
    with pytest.raises(ConfigError, match="0001-01-01 cannot be checked"):
        quality.run(checked, "logs", "0001-01-01")
    assert list(days(Care(checked), "logs", dt.date.min)) == [DAY]


def test_what_is_no_table_day_or_record_is_refused(tmp_path: Path) -> None:
    nowhere = settings(data_dir=tmp_path)
    for name, day, words in (("log", "", 'no table "log"'), ("logs", "4 March", "is not a day")):
        with pytest.raises(ConfigError, match=words):
            quality.show(nowhere, name, day, as_json=False)
    for record_, words in (("abc", "neither an id nor a place"), ("1:2:3", "partitions of its own")):
        with pytest.raises(ConfigError, match=words):
            trace.trace(nowhere, record_, "", "", as_json=False)


def test_a_trace_names_place_sender_and_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = settings(data_dir=tmp_path)
    writer = LakeWriter(given.lake, Kind.LOGS, given)
    writer.append([batch(log(), log(1), offset=7)])
    writer.commit()

    assert trace.trace(given, "0:7:1", "logs", "acme", as_json=True) == 0

    [found] = json.loads(capsys.readouterr().out)
    assert (found["bus offset"], found["sequence"], found["tier"]) == (7, 7001, "lake")
    assert found["file"][0].endswith(".parquet")
