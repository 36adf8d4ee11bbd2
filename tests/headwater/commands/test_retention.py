"""The command, the retention policy and the tiers: refused early, shown before it is done, and done."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from bus import open_bus
from contracts.messages import Kind
from tests.headwater.processes import headwater
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS
from tests.lakehouse.upkeep.aging import SHAPES, Aging, day
from tests.ports import free_port

POLICY = """
[defaults]
hot_days = 1
keep_days = 3

[[rule]]
kind = "logs"
at_least = "error"
keep_days = 0
"""


def six_days(folder: Path) -> int:
    """Stores with the last six days, and an empty bus; the number of today."""
    aging = Aging(folder / "data")
    today = int(time.time_ns() - NOON_NS + DAY_NS // 2) // DAY_NS
    for number in range(today - 5, today + 1):
        aging.today = number
        aging.arrive(hot=number > today - 2, metrics=False)
    with contextlib.closing(open_bus(aging.care.settings.bus, aging.care.settings)) as queue:
        queue.extents(Kind.LOGS.topic)
    aging.care.close()
    return today


def test_a_policy_that_is_refused_ends_up_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "keep.toml"
    file.write_text("[defaults]\n\nkeep_days = -1\n")
    env = {"HEADWATER_RETENTION_FILE": str(file)}
    done = headwater(tmp_path, "up", "--no-batch", "--port", str(free_port()), env=env)
    assert done.returncode == 2
    assert f"{file}:3: keep_days must be a whole number of days" in done.stderr
    assert not (tmp_path / "data").exists()
    checked = json.loads(headwater(tmp_path, "doctor", "--json", env=env).stdout)["retention"]
    assert (checked["level"], f"{file}:3:" in checked["finding"]) == ("fail", True)


def test_the_plan_shows_and_changes_nothing_and_apply_does_it(tmp_path: Path) -> None:
    today = six_days(tmp_path)
    (tmp_path / "data" / "retention.toml").write_text(POLICY)
    told = json.loads(headwater(tmp_path, "retention", "plan", "--json").stdout)
    assert told["policy"].endswith("retention.toml")
    assert told["next_day"] == day(today + 1).isoformat()
    deleted = {step["day"]: step for step in told["steps"] if step["action"] == "delete"}
    assert set(deleted) == {day(today - 5).isoformat(), day(today - 4).isoformat()}
    assert {step["rows"] for step in deleted.values()} == {len(SHAPES) - 1}
    assert all("kept 3 days by default" in step["why"] and step["bytes"] > 0 for step in deleted.values())

    shown = " ".join(headwater(tmp_path, "retention", "plan").stdout.split())
    assert "deleted in part lake logs 2" in shown
    assert "nothing was changed" in shown
    assert json.loads(headwater(tmp_path, "retention", "plan", "--json").stdout) == told

    assert "2 steps done" in headwater(tmp_path, "retention", "apply").stdout
    assert "nothing is due" in headwater(tmp_path, "retention", "apply").stdout
    told = json.loads(headwater(tmp_path, "tiers", "--json").stdout)
    hot, lake = (entry for entry in told["tables"] if entry["table"] == "logs")
    assert (hot["tier"], hot["days"], hot["rows"]) == ("hot", 2, 2 * len(SHAPES))
    assert (lake["tier"], lake["days"], lake["rows"]) == ("lake", 6, 4 * len(SHAPES) + 2)
    assert (lake["oldest"], lake["newest"]) == (day(today - 5).isoformat(), day(today).isoformat())
    assert lake["growth_bytes_per_day"] > 0
    assert {tier for disk in told["disks"] for tier in disk["tiers"]} == {"hot", "lake", "archive"}
    assert set(told["next_run"]) >= {"retention", "closed_day"}
    away = headwater(tmp_path, "tiers", "--json", env={"HEADWATER_HOT_URL": "opensearch://127.0.0.1:9"})
    told = json.loads(away.stdout)
    assert (list(told["unreadable"]), {entry["tier"] for entry in told["tables"]}) == (["hot"], {"lake"})


def test_without_anything_stored_nothing_is_made(tmp_path: Path) -> None:
    for words in (("tiers",), ("retention", "plan"), ("retention", "apply")):
        done = headwater(tmp_path, *words)
        assert (done.returncode, "nothing stored yet" in done.stdout) == (0, True)
    assert not (tmp_path / "data").exists()
