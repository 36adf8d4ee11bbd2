"""Rollup tables: each raw point is counted once, whatever is killed, comes late, or is done again."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import QueryBuilder

from contracts.failpoints import VARIABLE
from contracts.messages import ERASED, Kind
from contracts.query import Term
from contracts.tenants import Tenant
from lakehouse.delta import removal
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.schemas import ROLLUPS, SCHEMAS
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import Request
from lakehouse.sql.windows import windows
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure import files as erasure_files
from lakehouse.upkeep.imports.land import Import
from lakehouse.upkeep.rollups import rollups
from tests import children
from tests.children import Child
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, metric, orphans
from tests.lakehouse.upkeep.rollup_world import TODAY, Points, act, care_of, expected, held, rows_in, some_points

WORLD = "tests.lakehouse.upkeep.rollup_world"


@pytest.fixture
def points(tmp_path: Path) -> Points:
    return Points(str(tmp_path / "lake"))


def check(care: Care) -> None:
    for name in ROLLUPS:
        assert held(care, name) == expected(care, name)


def test_every_point_is_in_its_window_of_both_tables(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 400))

    done = rollups.roll_up(care)

    check(care)
    assert {name: each.rows_in for name, each in done.items()} == {"metrics_1m": 400, "metrics_1h": 400}
    assert done["metrics_1h"].rows_out == len(expected(care, "metrics_1h")) == rows_in(care, "metrics_1h")
    assert done["metrics_1h"].windows == len({key[-1] for key in expected(care, "metrics_1h")})


def test_rolling_up_again_adds_what_came_since_and_nothing_else(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "PART_ROWS", 30)  # many commits a run
    care = care_of(points.url)
    for seed in range(3):
        points.land(some_points(seed, 100))
        assert rollups.roll_up(care)["metrics_1m"].rows_in == 100
        again = rollups.roll_up(care)["metrics_1m"]
        assert (again.rows_in, again.rows_out) == (0, 0)
    check(care)


def test_a_late_point_restates_a_window_that_is_long_closed(points: Points) -> None:
    care = care_of(points.url)
    points.land([metric(0, 1.0), metric(0, 5.0)])
    rollups.roll_up(care)
    rollups.merge(care, "metrics_1h", TODAY)

    points.land([metric(0, 9.0)], NOON_NS + 3 * DAY_NS)
    rollups.roll_up(care)

    ((count, total, low, high, *_),) = held(care, "metrics_1h").values()
    assert (count, total, low, high) == (3, 15.0, 1.0, 9.0)
    check(care)


def test_merging_leaves_one_row_a_window_and_the_same_sums(points: Points) -> None:
    care = care_of(points.url)
    for seed in range(4):
        points.land(some_points(seed, 80))
        rollups.roll_up(care)
    assert rows_in(care, "metrics_1h") > len(held(care, "metrics_1h"))

    for name in ROLLUPS:
        done = rollups.merge(care, name, TODAY)
        assert done.rows_out == rows_in(care, name) == len(held(care, name))
        assert rollups.merge(care, name, TODAY).version == done.version
    check(care)
    points.land(some_points(9, 50))
    rollups.roll_up(care)
    check(care)


def test_a_day_that_goes_from_raw_by_retention_stays_in_the_rollups(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 60))
    rollups.roll_up(care)
    before = expected(care, "metrics_1h")

    removal.remove(care.table("metrics"), "day = DATE '2026-03-04'", RETENTION)
    rollups.roll_up(care)

    assert held(care, "metrics_1h") == before


def test_what_was_erased_from_raw_is_gone_from_a_day_that_is_restated(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 120))
    rollups.roll_up(care)
    removal.remove(care.table("metrics"), "value > 5", ERASED)

    for name in ROLLUPS:
        rollups.restate(care, name, TODAY)

    check(care)
    points.land(some_points(2, 40))
    rollups.roll_up(care)
    check(care)


def test_restating_one_service_leaves_the_others_though_raw_has_lost_them(points: Points) -> None:
    care = care_of(points.url)
    points.land([metric(0, 1.0, service="a"), metric(0, 2.0, service="b"), metric(0, 3.0, service="b")])
    rollups.roll_up(care)
    removal.remove(care.table("metrics"), "service = 'a' OR value = 2.0", RETENTION)

    rollups.restate(care, "metrics_1h", TODAY, "service = 'b'")

    sums = {key[1]: window[1] for key, window in held(care, "metrics_1h").items()}
    assert sums == {"a": 1.0, "b": 3.0}


def test_a_day_of_which_nothing_is_left_is_empty_when_restated(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 20))
    rollups.roll_up(care)
    removal.remove(care.table("metrics"), "TRUE", ERASED)

    assert rollups.restate(care, "metrics_1m", TODAY).rows_out == 0
    assert held(care, "metrics_1m") == {}


def test_tenants_are_apart_and_offsets_without_points_are_covered(points: Points) -> None:
    care = care_of(points.url)
    writer = care.lake.writer(Kind.METRICS)
    writer.append([batch(metric(0, 1.0), offset=0, kind=Kind.METRICS)])
    writer.append([batch(metric(0, 2.0), offset=1, kind=Kind.METRICS, tenant=OTHER)])
    writer.commit()
    rollups.roll_up(care)

    assert {key[0]: window[1] for key, window in held(care, "metrics_1h").items()} == {ACME: 1.0, OTHER: 2.0}


def test_a_day_is_covered_when_both_tables_have_all_of_it(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 10))
    assert not rollups.is_covered(care, TODAY)

    rollups.roll_up(care)
    assert rollups.is_covered(care, TODAY)

    points.land(some_points(2, 1), NOON_NS + DAY_NS)
    assert rollups.is_covered(care, TODAY)
    assert not rollups.is_covered(care, TODAY + dt.timedelta(1))


def test_points_that_moved_to_the_archive_before_they_were_counted_are_counted(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 60))
    rollups.roll_up(care)
    points.land(some_points(2, 60))
    before = expected(care, "metrics_1h"), expected(care, "metrics_1m")
    archive.archive_day(care, Kind.METRICS, TODAY)
    assert rows_in(care, "metrics") == 0
    assert not rollups.is_covered(care, TODAY)

    assert rollups.roll_up(care)["metrics_1h"].rows_in == 60

    assert (held(care, "metrics_1h"), held(care, "metrics_1m")) == before
    assert rollups.is_covered(care, TODAY)
    assert rollups.restate(care, "metrics_1h", TODAY).rows_out == len(before[0])
    assert held(care, "metrics_1h") == before[0]


def test_an_archive_that_is_away_is_not_needed_for_what_is_in_the_lake(points: Points, tmp_path: Path) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 60))
    archive.archive_day(care, Kind.METRICS, TODAY)
    rollups.roll_up(care)
    Path(care.settings.archive).rename(tmp_path / "away")
    points.land(some_points(2, 30), NOON_NS + DAY_NS)

    assert rollups.roll_up(care)["metrics_1h"].rows_in == 30


def test_imported_points_are_counted_once(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 20))
    rollups.roll_up(care)
    for part, seed in enumerate((2, 3)):
        old = batch(*some_points(seed, 25), offset=0, kind=Kind.METRICS)
        Import(care, Kind.METRICS, ACME, "old").land([old], part, part + 1)
        assert rollups.roll_up(care)["metrics_1m"].rows_in == 25
    check(care)


def test_a_run_that_looked_before_an_erasure_does_not_bring_points_back(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 60))
    real = windows

    def late(builder: QueryBuilder, name: str, sql: str) -> pa.Table:
        rows = real(builder, name, sql)
        if removal.remove(care.table("metrics"), "value > 5", ERASED):
            rollups.fence(care)
        return rows

    monkeypatch.setattr(rollups, "windows", late)
    rollups.roll_up(care)

    check(care)
    assert [orphans(care.table(name)) for name in ROLLUPS] == [set(), set()]


def test_a_merge_that_an_erasure_forestalls_leaves_no_file(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    care, real = care_of(points.url), Delta.replace
    for seed in range(2):
        points.land(some_points(seed, 20))
        rollups.roll_up(care)

    def late(table: Delta, *given: Any) -> None:
        monkeypatch.setattr(Delta, "replace", real)
        rollups.fence(care)
        real(table, *given)

    monkeypatch.setattr(Delta, "replace", late)
    assert rollups.merge(care, "metrics_1m", TODAY).rows_in > 0
    assert orphans(care.table("metrics_1m")) == set()


def test_sums_that_a_killed_run_left_go_with_an_erasure_of_their_tenant(points: Points) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 20))
    rollups.roll_up(care)
    table = care.table("metrics_1m")
    builder = QueryBuilder()
    table.register(builder)
    sums = pa.RecordBatchReader.from_stream(builder.execute(f"SELECT * FROM {table.name}")).read_all()
    (left,) = table.new_files().write_days(pa.table(sums).cast(SCHEMAS[table.name]))
    files, later_s = erasure_files.unused(table), time.time() + 1
    assert list(files.orphans) == [left.path]

    def deleted(tenant: Tenant, before_s: float) -> list[str]:
        asked = Request("e", tenant, {Kind.METRICS: Term("service", "s0")}, "service:s0", NOON_NS)
        return erasure_files.delete(care, files, asked, None, before_s)

    assert deleted(OTHER, later_s) == deleted(ACME, later_s - 60) == []
    assert deleted(ACME, later_s) == [f"metrics_1m/{left.path}"]
    assert orphans(table) == set()
    check(care)


def test_two_runs_at_once_count_each_point_once(points: Points) -> None:
    points.land(some_points(1, 100))
    runs = [Child(WORLD, points.url, "roll_up", env=os.environ) for _ in range(2)]
    assert [each.wait(children.TIMEOUT_S) for each in runs] == [0, 0]
    check(care_of(points.url))


def run(url: str, what: str, failpoint: str) -> int:
    return children.run(WORLD, url, what, env=os.environ | {VARIABLE: failpoint}).returncode


@pytest.mark.parametrize(
    ("what", "failpoint"),
    [
        ("roll_up", "rollup.appended#4"),
        ("merge", "rollup.replaced#1"),
        ("restate", "rollup.replaced#2"),
    ],
)
def test_killed_between_commits_the_next_run_completes_it(points: Points, what: str, failpoint: str) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 60))
    rollups.roll_up(care)
    points.land(some_points(2, 120))
    if what != "roll_up":
        rollups.roll_up(care)

    assert run(points.url, what, failpoint) == -signal.SIGKILL
    act(care, what)

    check(care)


def test_without_the_places_in_the_commit_points_would_be_counted_twice(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    care = care_of(points.url)
    points.land(some_points(1, 30))
    rollups.roll_up(care)
    monkeypatch.setattr(rollups, "places", lambda table, kind: {})
    monkeypatch.setattr(rollups, "_append", _append_and_stop)

    with pytest.raises(InterruptedError):
        rollups.roll_up(care)

    assert held(care, "metrics_1h") != expected(care, "metrics_1h")


def _append_and_stop(table: Delta, rows: pa.Table, covered: object) -> None:
    table.add(rows, {})
    raise InterruptedError
