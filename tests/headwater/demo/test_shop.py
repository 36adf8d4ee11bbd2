from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from headwater.demo import shop_files
from headwater.demo.shop import SERVICES, STORY_S, tell
from headwater.demo.shop_files import ShopFiles

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
STORY = tell(7, START)


def test_the_same_seed_tells_the_same_story_and_another_another() -> None:
    assert tell(7, START) == STORY
    assert tell(8, START) != STORY


def test_lines_are_in_order_within_the_quarter_of_an_hour_and_of_every_service() -> None:
    times = [line.at_s for line in STORY.lines]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < STORY_S
    assert set(STORY.by_service()) == set(SERVICES)
    assert 15_000 < len(STORY.lines) < 40_000


def test_no_two_lines_of_a_service_that_must_be_told_apart_are_equal() -> None:
    texts = Counter(line.text for line in STORY.lines if line.service in ("checkout", "payment", "mailer"))
    assert texts.most_common(1)[0][1] == 1


def test_the_truth_is_what_the_lines_say() -> None:
    said = Counter(
        line.service for line in STORY.lines if '"level": "error"' in line.text or " level=error " in line.text
    )
    assert said == STORY.errors()
    slow = [entry for entry in map(checkout, STORY.lines) if entry.get("duration_ms", 0) >= 5000]
    assert len(slow) == len(STORY.slow_checkouts()) > 100
    assert sum('" 502 ' in line.text for line in STORY.lines) == STORY.failed_requests()


def checkout(line: object) -> dict[str, int]:
    text = str(getattr(line, "text", ""))
    return dict(json.loads(text)) if text.startswith("{") else {}


def test_the_incident_makes_payment_and_checkout_fail_alike_and_nothing_before_it() -> None:
    errors = STORY.errors_in_incident()
    first, end = STORY.incident
    inside = [line for line in STORY.lines if first <= START + dt.timedelta(seconds=line.at_s) < end]
    assert errors == Counter(line.service for line in inside if "level=error" in line.text or '"error"' in line.text)
    assert errors["payment"] == errors["checkout"] > 100
    before = [line for line in STORY.lines if line.level == "error" and START + dt.timedelta(seconds=line.at_s) < first]
    assert {line.service for line in before} <= {"catalog"}


def test_a_failed_trace_goes_through_four_services() -> None:
    assert STORY.path_of(STORY.failed_trace()) == ["catalog", "inventory", "payment", "checkout"]


def test_files_are_renamed_while_they_grow_and_no_line_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop_files, "ROTATE_S", 0.0)
    files = ShopFiles(tmp_path / "shop")
    for first in range(0, 800, 100):
        files.write(STORY.lines[first : first + 100])
        time.sleep(0.001)
    files.close()
    assert files.rotations >= 8
    written = Counter(line for path in (tmp_path / "shop").iterdir() for line in path.read_text().splitlines())
    assert written == Counter(line.text for line in STORY.lines[:800])
