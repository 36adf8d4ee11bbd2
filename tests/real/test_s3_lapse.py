"""Eight days through bus, flows, Dagster's assets and every tier, lake and archive on a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import storage
from tests.e2e.test_lapse import lapse

DAYS = 8


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("on_s3")
def test_eight_days_pass_and_every_tier_on_s3_holds_what_the_policy_says(tmp_path: Path) -> None:
    data = tmp_path / "data"
    facts = lapse(DAYS, "days", HEADWATER_DATA_DIR=str(data), **storage.environment(data))

    assert facts["hot"] == ["2026-01-07", "2026-01-08"]
    assert facts["lake"]["logs"] == 4  # the open day, and the three before it
    assert facts["archive"]["metrics"] == facts["archive"]["logs"] == 2  # older than three days, not older than five
    assert facts["compacted"] + facts["checked"] >= 4 * (DAYS - 1)
    assert facts["checked"] >= 4 * ((DAYS - 1) // 5)
    assert facts["must"] < facts["sent"] == 96 * DAYS
    assert facts["asked"] > DAYS
    assert not (data / "lake").exists()
    assert not (data / "archive").exists()
