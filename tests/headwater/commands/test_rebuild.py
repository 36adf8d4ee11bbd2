"""`headwater rebuild-hot`: what is asked for, what is refused, and what is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.messages import Kind
from headwater.commands.rebuild import days_of, kinds_of, rebuild_hot
from lakehouse.upkeep.care import Care
from tests.lakehouse.lake_samples import NOON_NS, batch, log, metric
from tests.lakehouse.upkeep.rebuild.test_hot_day import DAY, NEXT, land, load
from tests.settings import settings


@pytest.fixture
def care(tmp_path: Path) -> Iterator[Care]:
    with contextlib.closing(Care(settings(data_dir=tmp_path))) as opened:
        yield opened


def test_closed_days_are_rebuilt_and_told_and_an_open_one_is_refused_before_anything_changes(
    care: Care, capsys: pytest.CaptureFixture[str]
) -> None:
    land(care, load(Kind.LOGS, messages=12))
    land(care, [batch(metric(0, 1.5), offset=0, kind=Kind.METRICS, received_ns=NOON_NS)])

    with pytest.raises(ConfigError, match=f"logs of {NEXT} are not closed"):
        rebuild_hot(care.settings, f"{DAY}..{NEXT}", [])
    assert [held.rebuilt_ns for held in care.hot.held(Kind.LOGS)] == [None, None]

    assert rebuild_hot(care.settings, f"2026-02-01..{DAY}", []) == 0
    told = capsys.readouterr().out
    assert f"rebuilt logs of {DAY}: " in told
    assert f"rebuilt metrics of {DAY}: 1 record, " in told
    assert care.hot.held(Kind.LOGS)[0].rebuilt_ns is not None


def test_days_without_records_and_an_empty_folder_are_told(care: Care, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuild_hot(care.settings, "2026-01-01", []) == 0
    land(care, [batch(log(), offset=0)])
    assert rebuild_hot(care.settings, "2026-01-01..2026-01-03", ["logs"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "nothing stored yet",
        "the lake has no logs of 2026-01-01..2026-01-03: nothing to rebuild",
    ]


def test_a_range_has_both_ends_and_kinds_are_those_of_the_hot_store() -> None:
    assert [day.isoformat() for day in days_of("2026-02-28..2026-03-01")] == ["2026-02-28", "2026-03-01"]
    assert days_of("2026-03-04") == [DAY]
    assert kinds_of(["events", "logs"]) == [Kind.LOGS, Kind.EVENTS]
    assert len(days_of("0001-01-01..0001-01-31")) == 31
    for text in ("9999-12-31", "9999-12-01..9999-12-31", "2236-03-04"):
        with pytest.raises(ConfigError, match=f'--days "{text}": these days are still to come'):
            days_of(text)
    for text in (
        "yesterday",
        "2026-03-05..2026-03-04",
        "2026-03-04..",
        "0001-01-01..9999-12-31",
        "2026-02-30",
        "2026-03-04..9999-12-31",
    ):
        with pytest.raises(ConfigError, match="--days"):
            days_of(text)
    with pytest.raises(ConfigError, match='does not hold "dead_letters"'):
        kinds_of(["dead_letters"])
