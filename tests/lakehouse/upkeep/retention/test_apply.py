"""Retention over many days: what goes, in which order, what is never touched, and what a crash leaves."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.failpoints import FAILPOINTS, VARIABLE
from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.upkeep.pinned import PinnedRows
from lakehouse.upkeep.policy.policy import Policy
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.retention.apply import Action, apply
from tests import children, storage
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS
from tests.lakehouse.upkeep.aging import POLICY, SHAPES, Aging, day, kept

PLAIN = Policy(hot_days=3, archive_after_days=6)
# Of deletions the last one: that of a day which is hot.
POINTS = [f"{name}#6" if name == "retention.deleted" else name for name in FAILPOINTS if name.startswith("retention.")]
POINTS += ["hot.dropped_marked"]


@pytest.fixture
def aging(tmp_path: Path) -> Iterator[Aging]:
    made = Aging(tmp_path, PLAIN)
    yield made
    made.care.close()


def steps(aging: Aging, action: Action, kind: Kind = Kind.LOGS, through: int | None = None) -> list[int]:
    """The numbers of the days of such steps."""
    found = [step for step in aging.plan(through).steps if step.action is action and step.kind is kind]
    return [(step.day - day(0)).days for step in found]


def fill(aging: Aging, days: int, hot_from: int = 0) -> None:
    for number in range(days):
        aging.today = number
        aging.arrive(hot=number >= hot_from)


def test_forty_five_days_leave_each_tier_as_the_policy_says(tmp_path: Path) -> None:
    aging = Aging(tmp_path, POLICY)
    arrived = range(0, 45, 3)  # on every third day something arrives, and retention runs
    for number in arrived:
        aging.today = number
        aging.arrive(metrics=False)
        aging.apply()
        expected = {body for past in arrived if past <= number for body in kept(POLICY, past, number)}
        lake, archive = aging.lake(), aging.archive()
        assert lake + archive == Counter(expected), f"day {number}"
        assert set(archive) == {body for body in expected if number - int(body.split()[1]) > POLICY.archive_after_days}
        assert aging.hot() == Counter(body for body in expected if number - int(body.split()[1]) <= POLICY.hot_days)
        assert aging.counted() == (number // 3 + 1) * len(SHAPES) - len(expected)
    assert {f"audit {number}" for number in arrived} <= expected
    assert aging.plan().steps == []
    aging.care.close()


def test_a_hot_day_is_not_dropped_before_the_lake_has_passed_all_of_it(aging: Aging) -> None:
    fill(aging, 3)
    aging.today = 20
    aging.check()
    assert steps(aging, Action.DROP) == [0, 1, 2]
    assert steps(aging, Action.DROP, through=1) == [0, 1]
    (note,) = [note for note in aging.plan(through=1).notes if note.startswith("logs")]
    assert "1 days from 2026-03-06 on are past their age and not closed" in note
    assert aging.plan(through=-1).steps == []


def test_nothing_is_planned_for_a_kind_that_has_no_closed_day(aging: Aging) -> None:
    from lakehouse.upkeep.retention.apply import plan

    fill(aging, 2)
    aging.today = 99
    assert {step.kind for step in plan(aging.care, PLAIN, {Kind.METRICS: day(98)}).steps} == {Kind.METRICS}


def test_a_clock_that_jumps_back_touches_nothing(aging: Aging) -> None:
    fill(aging, 5)
    planned = aging.plan()
    assert planned.steps
    before = (aging.hot(), aging.lake(), aging.archive())
    aging.today = 0
    applied = apply(aging.care, planned)
    assert (len(applied.done), len(applied.skipped)) == (0, len(planned.steps))
    assert aging.plan().steps == []
    assert (aging.hot(), aging.lake(), aging.archive()) == before


def test_some_of_a_hot_day_that_is_over_leaves_both_and_the_rest_stays_hot(tmp_path: Path) -> None:
    aging = Aging(tmp_path, POLICY)
    fill(aging, 4)
    (delete,) = [step for step in aging.plan().steps if step.action is Action.DELETE]
    assert (delete.tier, delete.day, delete.rows) == (Tier.LAKE, day(0), 1)
    assert delete.why == "kept 2 days by line 1 (logs, tenant acme, severity 1-8)"
    assert 0 < delete.bytes < sum(file["size_bytes"] for file in aging.care.table("logs").files())
    aging.apply()
    everything = Counter(f"{body} {number}" for body in SHAPES for number in range(4))
    everything["debug 0"] = 0
    assert aging.hot() == aging.lake() == +everything
    aging.care.close()


def test_some_of_a_day_that_is_archived_and_hot_leaves_both_and_the_rest_stays_hot(tmp_path: Path) -> None:
    aging = Aging(tmp_path, replace(POLICY, archive_after_days=1))
    fill(aging, 3)
    aging.apply()
    assert aging.archive()["debug 0"] == 1
    aging.today += 1
    aging.apply()
    everything = Counter(f"{body} {number}" for body in SHAPES for number in range(3))
    everything["debug 0"] = 0
    assert aging.archive()["debug 0"] == 0 < aging.archive()["error 0"]
    assert aging.hot() == +everything
    aging.care.close()


def test_above_the_limit_the_oldest_closed_days_leave_the_hot_store(aging: Aging) -> None:
    fill(aging, 3)
    sizes = {each.day: each.size_bytes for kind in (Kind.LOGS, Kind.METRICS) for each in aging.care.hot.held(kind)}
    assert len(sizes) == 3
    total = sum(each.size_bytes for kind in (Kind.LOGS, Kind.METRICS) for each in aging.care.hot.held(kind))
    aging.policy = replace(PLAIN, hot_max_bytes=total - 1)
    assert (steps(aging, Action.DROP), steps(aging, Action.DROP, Kind.METRICS)) == ([0], [])
    aging.policy = replace(PLAIN, hot_max_bytes=1)
    assert (steps(aging, Action.DROP), steps(aging, Action.DROP, Kind.METRICS)) == ([0, 1], [0, 1])  # not the open day
    assert steps(aging, Action.DROP, through=0) == [0]


def test_above_the_limit_the_oldest_days_of_the_lake_move_or_go(aging: Aging) -> None:
    fill(aging, 3, hot_from=99)
    aging.check()
    aging.policy = replace(PLAIN, lake_max_bytes=1)
    assert (steps(aging, Action.MOVE), steps(aging, Action.DELETE)) == ([0, 1], [])
    aging.policy = replace(PLAIN, lake_max_bytes=1, archive_after_days=0)
    assert (steps(aging, Action.MOVE), steps(aging, Action.DELETE)) == ([], [0, 1])
    aging.policy = replace(PLAIN, lake_max_bytes=1, archive_max_bytes=1)
    aging.apply()
    assert steps(aging, Action.DELETE) == [0, 1]
    aging.apply()
    assert (set(aging.lake()), aging.archive()) == ({f"{body} 2" for body in SHAPES}, Counter())
    assert aging.counted() == 2 * len(SHAPES)


def test_a_quarantined_day_is_not_archived_and_still_ends_with_its_age(aging: Aging) -> None:
    fill(aging, 2, hot_from=99)
    aging.today = 10
    aging.check()
    failed = quality.CheckResult("logs", day(0), "distinct_ids", False, quality.Severity.ERROR, "ids are unique")
    quality.record(aging.care, [failed], {"in_lake": len(SHAPES)})
    assert steps(aging, Action.MOVE) == [1]
    assert "logs of 2026-03-04 is not archived: distinct_ids failed" in aging.plan().notes[0]
    aging.policy = replace(PLAIN, keep_days=7)
    delete, _ = [step for step in aging.plan().steps if step.kind is Kind.LOGS]
    assert delete.action is Action.DELETE
    assert delete.why == "kept 7 days by default; quarantined by distinct_ids, but past its age"


def test_a_day_that_no_check_has_seen_as_it_is_stays_in_the_lake_until_one_has_or_it_is_released(
    aging: Aging,
) -> None:
    fill(aging, 1, hot_from=99)
    aging.today = 10
    aging.policy = replace(PLAIN, lake_max_bytes=1)
    assert (steps(aging, Action.MOVE), steps(aging, Action.MOVE, Kind.METRICS)) == ([], [])
    (note,) = [note for note in aging.plan().notes if note.startswith("logs")]
    assert note.startswith("logs of 2026-03-04 is not archived yet: it was not checked; see headwater quality")
    assert "`headwater quality run --table logs --day 2026-03-04`" in note

    aging.check()
    assert steps(aging, Action.MOVE) == [0]
    aging.today = 0
    aging.arrive(hot=False)
    aging.today = 10
    assert steps(aging, Action.MOVE) == []
    assert "its rows changed after the check" in str(aging.plan().notes)

    assert quality.release(aging.care, "logs", day(0), "ada", "no checks can run") == [quality.UNCHECKED]
    assert (steps(aging, Action.MOVE), steps(aging, Action.MOVE, Kind.METRICS)) == ([0], [])
    aging.today = 0
    aging.arrive(hot=False)
    aging.today = 10
    assert steps(aging, Action.MOVE) == []
    aging.check()
    assert steps(aging, Action.MOVE) == [0]


def test_a_failed_day_that_is_released_moves(aging: Aging) -> None:
    fill(aging, 1, hot_from=99)
    aging.today = 10
    failed = quality.CheckResult("logs", day(0), "distinct_ids", False, quality.Severity.ERROR, "ids are unique")
    quality.record(aging.care, [failed], {"rows": len(SHAPES)})
    assert steps(aging, Action.MOVE) == []
    assert quality.release(aging.care, "logs", day(0), "ada", "they were looked at") == ["distinct_ids"]
    assert steps(aging, Action.MOVE) == [0]


def test_a_rebuilt_day_stays_hot_for_its_own_time(aging: Aging) -> None:
    from lakehouse.upkeep.rebuild.hot_day import rebuild_hot

    fill(aging, 1)
    aging.today = (time.time_ns() - NOON_NS) // DAY_NS + 1  # the engine stamps a rebuild by the machine's own clock
    aging.apply()
    assert not aging.hot()
    rebuild_hot(aging.care, Kind.LOGS, day(0))
    assert sum(aging.hot().values()) == len(SHAPES)
    assert steps(aging, Action.DROP) == []
    aging.policy = replace(PLAIN, rebuilt_days=0)
    assert steps(aging, Action.DROP) == [0]


def test_the_plan_says_when_something_is_due_next(aging: Aging) -> None:
    fill(aging, 1)
    assert aging.plan().next_day == day(4)
    aging.today = 4
    aging.apply()
    assert aging.plan().next_day == day(7)
    aging.today = 7
    aging.apply()
    assert aging.plan().next_day is None


def run_child(folder: Path, today: int, point: str) -> int:
    return children.run("tests.lakehouse.upkeep.aging", folder, today, env={VARIABLE: point}).returncode


@pytest.fixture(scope="module")
def nine_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nine_days") / "data"
    aging = Aging(folder, POLICY)
    fill(aging, 9, hot_from=5)
    aging.check()
    aging.care.close()
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_what_is_killed_is_completed_by_the_next_run_and_nobody_misses_a_record(
    nine_days: Path, tmp_path: Path, point: str
) -> None:
    folder = storage.copied(nine_days, tmp_path / "data")
    alive = {body for number in range(9) for body in kept(POLICY, number, 8)}
    assert run_child(folder, 8, point) == -signal.SIGKILL
    aging = Aging(folder, POLICY)
    aging.today = 8
    seen = aging.lake() + aging.archive()
    assert max(seen.values()) == 1
    assert set(seen) >= alive
    assert set(aging.hot()) <= set(seen)

    aging.apply()
    assert aging.lake() + aging.archive() == Counter(alive)
    assert aging.counted() == 9 * len(SHAPES) - len(alive)
    assert aging.hot() == Counter(body for number in range(5, 9) for body in kept(POLICY, number, 8))
    assert aging.plan().steps == []
    aging.care.close()


def test_a_day_that_was_searched_for_what_is_over_is_not_read_again(aging: Aging) -> None:
    aging.policy = POLICY
    fill(aging, 6)
    aging.apply()

    searched = aging.plan().searched
    assert searched, "days that lost rows are looked at once more"
    aging.apply()
    assert not aging.plan().kinds

    aging.today += 1
    assert {each.day for each in searched} >= {each.day for each in aging.plan().searched}


def test_points_are_in_the_rollups_before_they_go(aging: Aging) -> None:
    aging.policy = Policy(hot_days=1, archive_after_days=0, keep_days=2)
    fill(aging, 5)
    aging.apply()

    assert [step for step in aging.plan().steps if step.kind is Kind.METRICS] == []
    rows = PinnedRows(aging.care.table("metrics_1m")).rows("SELECT sum(count) AS n FROM metrics_1m")
    assert rows == [{"n": 5}]
