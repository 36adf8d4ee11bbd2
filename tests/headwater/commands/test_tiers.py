"""`headwater tiers`: what is shown, and when a disk is said to be full."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from contracts.messages import Kind
from contracts.settings import Settings
from headwater.commands import tiers
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rollups.rollups import roll_up
from tests.lakehouse.lake_samples import DAY_NS, batch, metric
from tests.settings import settings

POLICY = "[defaults]\nhot_days = 0\narchive_after_days = 0\nkeep_days = 2\n"


@pytest.fixture
def rolled_up(tmp_path: Path) -> Settings:
    """Points of yesterday with their rollups; raw points are kept for two days."""
    given = settings(data_dir=tmp_path)
    (tmp_path / "retention.toml").write_text(POLICY)
    land(given, time.time_ns() - DAY_NS)
    care = Care(given)
    roll_up(care)
    care.close()
    return given


def land(given: Settings, at_ns: int) -> None:
    writer = LakeWriter(given.lake, Kind.METRICS, given)
    points = [metric(index, float(index), at_ns, host=f"h{index}") for index in range(100)]
    writer.append([batch(*points, offset=0, kind=Kind.METRICS, received_ns=at_ns)])
    writer.commit()
    writer.close()


def test_without_a_whole_day_there_is_no_pace_to_tell_a_day_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings(data_dir=tmp_path)
    land(given, time.time_ns())
    tiers.tiers(given, as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    assert "free; no day is over yet to tell by when it is full" in told
    assert "ten years" not in told


def test_rollups_are_shown_and_fill_the_disk_though_no_rule_keeps_raw_points(
    rolled_up: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {entry["table"]: entry for entry in tiers.gather(rolled_up)["tables"]}
    assert {"metrics", "metrics_1m", "metrics_1h", "ledger"} <= set(shown)
    daily = {name: shown[name]["growth_bytes_per_day"] for name in shown}
    assert min(daily.values()) > 0

    raw = daily.pop("metrics")
    steady = sum(daily.values())
    free = 5 * raw + 100 * steady
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9 * free, 8 * free, free))
    facts = tiers.gather(rolled_up)
    [full] = {disk["full_on"] for disk in facts["disks"] if "lake" in disk["tiers"]}
    assert full is not None
    assert 100 <= (full - facts["today"]).days <= 101 + 5 * raw / steady

    tiers.tiers(rolled_up, as_json=False)
    told = capsys.readouterr().out
    assert f"at this pace full on {full}" in told
    assert "metrics_1m" in told
