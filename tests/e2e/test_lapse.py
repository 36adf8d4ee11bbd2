"""Forty-five days through bus, flows, Dagster and every tier, in minutes: nothing missing, nothing doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DAYS = 45
ROOT = Path(__file__).resolve().parents[2]


def lapse(days: int, ages: str, **environment: str) -> dict[str, Any]:
    """Run it in a process of its own, as Dagster's partitions are those of one data folder; its facts."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.lapse_run", str(days), ages],
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


@pytest.mark.long
@pytest.mark.timeout(900)
def test_forty_five_days_pass_and_every_tier_holds_what_the_policy_says(tmp_path: Path) -> None:
    facts = lapse(DAYS, "weeks", HEADWATER_DATA_DIR=str(tmp_path / "data"))

    assert facts["hot"] == [f"2026-02-{day:02d}" for day in range(7, 15)]
    assert facts["lake"]["logs"] == 31  # the open day, and the thirty before it
    assert facts["archive"]["metrics"] == 10  # what is older than thirty days and not older than forty
    assert facts["archive"]["logs"] == 10
    assert facts["compacted"] + facts["checked"] >= 4 * (DAYS - 1)
    assert facts["checked"] >= 4 * ((DAYS - 1) // 5)
    assert facts["must"] < facts["sent"] == 96 * DAYS
    assert facts["asked"] > DAYS
