"""Series from rollups are those of the raw points: exactly, and percentiles within the sketch's accuracy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.answers import SeriesAnswer
from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, Exists, MetricQuery, Not, Range, Term, Wildcard
from contracts.records import MetricRow
from lakehouse import open_hot
from lakehouse.delta import removal
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.lake.store import Lake
from lakehouse.read import metric_windows as metrics_windows
from lakehouse.read import metrics
from lakehouse.read.search import Search
from lakehouse.sql.sketch import ACCURACY
from lakehouse.upkeep.rollups import rollups
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, batch, metric
from tests.lakehouse.upkeep.rollup_world import TODAY, care_of, some_points
from tests.settings import settings

S = 10**9
HOUR_NS = 3600 * S
EXACT = ("avg", "min", "max", "sum", "count")
ASKED = MetricQuery("load", "sum", HOUR_NS, NOON_NS - 2 * DAY_NS, NOON_NS + DAY_NS, All())


class World:
    """Points of two partitions: the first are in the rollups, more in the lake, all in the hot store."""

    def __init__(self, path: Path) -> None:
        self.url = str(path / "lake")
        self.care = care_of(self.url)
        self.hot = open_hot(f"tantivy://{path / 'hot'}", settings())
        self.lake = Lake(self.url, settings())
        self.search = Search(self.hot, self.lake, settings())

    def write(self, rows: list[MetricRow], landed: int, rolled: int) -> None:
        items = [batch(row, offset=at // 2, partition=at % 2, kind=Kind.METRICS) for at, row in enumerate(rows)]
        hot, lake = self.hot.writer(Kind.METRICS), self.lake.writer(Kind.METRICS)
        hot.append(items)
        hot.commit()
        hot.close()
        lake.append(items[:rolled])
        lake.commit()
        rollups.roll_up(self.care)
        lake.append(items[rolled:landed])
        lake.commit()

    def ask(self, query: MetricQuery) -> SeriesAnswer:
        return self.search.metrics(ACME, query)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hot.close()
    made.lake.close()
    made.care.close()


def values(answer: SeriesAnswer) -> dict[tuple[object, ...], float | None]:
    return {(*sorted(each.labels.items()), at): value for each in answer.series for at, value in each.points}


def queries(chance: random.Random) -> Iterator[MetricQuery]:
    filters = (
        All(),
        Term("service", "s1"),
        And((Term("attributes.cpu", "2"), Exists("env"))),
        Not(Wildcard("host", "x*")),
        Range("attributes.cpu", 1, 2),
    )
    for agg in EXACT:
        for step_s in (180, 3600, 7200):
            start_ns = NOON_NS - int(chance.uniform(0.5, 30) * HOUR_NS)
            end_ns = start_ns + int(chance.uniform(0.02, 40) * HOUR_NS)
            groups = chance.choice([(), ("service",), ("cpu", "service")])
            yield MetricQuery("load", agg, step_s * S, start_ns, end_ns, chance.choice(filters), groups)


@pytest.mark.parametrize(("landed", "rolled"), [(300, 300), (280, 200), (150, 0)])
def test_each_exact_aggregate_is_that_of_the_raw_points_whatever_is_rolled_up(
    world: World, landed: int, rolled: int
) -> None:
    world.write(some_points(5, 300, hours=20), landed, rolled)

    for query in queries(random.Random(landed)):
        raw = world.ask(replace(query, resolution="raw"))
        for resolution in ("auto", "1m") if query.step_ns % HOUR_NS else ("auto", "1m", "1h"):
            found = world.ask(replace(query, resolution=resolution))
            assert values(found) == pytest.approx(values(raw), rel=1e-9, abs=1e-9), query
            assert [each.labels for each in found.series] == [each.labels for each in raw.series]
            assert sum(use.rows for use in found.tiers.values()) == sum(use.rows for use in raw.tiers.values())
            assert not found.approximate


@pytest.mark.parametrize("per_series", ["avg", "sum", "min", "max", "last"])
def test_aggregates_of_series_values_are_those_of_the_raw_points_whatever_is_rolled_up(
    world: World, per_series: str
) -> None:
    world.write(some_points(7, 100, hours=6), 90, 60)

    spans = ((3600, ("service",)), (180, ("unit", "attributes.cpu")), (86_400, ()))
    for agg, (step_s, group_by) in itertools.product(("avg", "sum", "count", "p95"), spans):
        query = replace(ASKED, agg=agg, per_series=per_series, step_ns=step_s * S, group_by=group_by)
        raw = world.ask(replace(query, resolution="raw"))
        found = world.ask(replace(query, resolution="auto"))
        near = 1e-5 if agg == "p95" else 1e-9  # the engine places a rank to a millionth
        assert values(found) == pytest.approx(values(raw), rel=near, abs=1e-9), query
        assert (found.resolution, found.approximate) == ("1m" if step_s == 180 else "1h", False)
        assert sum(use.rows for use in found.tiers.values()) == sum(use.rows for use in raw.tiers.values())


def test_a_sum_that_overflows_is_none_and_counted_at_every_resolution(world: World) -> None:
    world.write([metric(0, 1.5e308, NOON_NS + n * S) for n in range(4)], 3, 2)

    for resolution in ("auto", "raw"):
        found = world.ask(replace(ASKED, resolution=resolution))
        assert [points for series in found.series for points in series.points] == [(NOON_NS // 10**6, None)]
        assert found.overflowed == 1
        assert world.ask(replace(ASKED, agg="max", resolution=resolution)).overflowed == 0


def test_an_answer_names_its_resolution(world: World) -> None:
    world.write(some_points(5, 100), 100, 80)

    assert world.ask(ASKED).resolution == "1h"
    assert world.ask(replace(ASKED, step_ns=60 * S)).resolution == "1m"
    for raw in (replace(ASKED, step_ns=S), replace(ASKED, agg="rate"), replace(ASKED, where=Range("value", 1, None))):
        assert world.ask(replace(raw, start_ns=NOON_NS - HOUR_NS, end_ns=NOON_NS)).resolution == "raw"


def test_before_the_first_rollup_raw_points_answer(world: World) -> None:
    world.write([metric(0, 1.0)], 1, 0)
    assert world.ask(ASKED).resolution == "raw"


@pytest.mark.parametrize("agg", ["p50", "p95", "p99"])
def test_percentiles_of_a_long_range_are_within_the_accuracy_and_say_so(world: World, agg: str) -> None:
    points = [metric(0, random.Random(n).lognormvariate(3, 2), NOON_NS + n * 60 * S) for n in range(300)]
    world.write(points, 250, 200)

    found = world.ask(replace(ASKED, agg=agg))
    raw = world.ask(replace(ASKED, agg=agg, resolution="raw"))

    assert found.approximate
    assert not raw.approximate
    assert values(found) == pytest.approx(values(raw), rel=ACCURACY * 1.001)
    near = world.ask(replace(ASKED, agg=agg, start_ns=NOON_NS, end_ns=NOON_NS + 2 * HOUR_NS))
    assert (near.resolution, near.approximate) == ("raw", False)


def test_when_raw_points_are_gone_the_rollups_answer_also_for_percentiles(world: World) -> None:
    world.write([metric(0, 7.0, NOON_NS + n * S) for n in range(90)], 90, 90)
    writer = world.lake.writer(Kind.METRICS)
    writer.append([batch(metric(0, 1.0), offset=45, kind=Kind.METRICS, received_ns=NOON_NS + 5 * DAY_NS)])
    writer.commit()
    world.hot.close()
    rollups.roll_up(world.care)
    removal.remove(world.care.table("metrics"), f"day = DATE '{TODAY}'", RETENTION)
    alone = Search(None, world.lake, settings())

    near = replace(ASKED, start_ns=NOON_NS, end_ns=NOON_NS + HOUR_NS)
    assert values(alone.metrics(ACME, replace(near, agg="count"))) == {(NOON_NS // 10**6,): 91.0}
    found = alone.metrics(ACME, replace(near, agg="p50"))
    assert (found.resolution, found.approximate) == ("1h", True)
    assert found.series[0].points[0][1] == pytest.approx(7.0, rel=ACCURACY)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (replace(ASKED, resolution="1h", step_ns=60 * S), "its step"),
        (replace(ASKED, resolution="1m", step_ns=90 * S), "its step"),
        (replace(ASKED, resolution="1m", agg="rate"), "rate"),
        (replace(ASKED, resolution="1h", where=Term("producer", "p")), "producer"),
        (replace(ASKED, resolution="5m"), "not known"),
    ],
)
def test_a_resolution_that_cannot_answer_is_refused(world: World, query: MetricQuery, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        world.ask(query)


def test_without_the_places_points_would_be_counted_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(some_points(5, 60), 60, 40)
    raw = world.ask(replace(ASKED, resolution="raw"))
    monkeypatch.setattr(metrics_windows, "past_sql", lambda places: "TRUE")

    assert values(world.ask(ASKED)) != pytest.approx(values(raw))


def test_too_many_points_are_refused_also_from_rollups(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(some_points(5, 100), 100, 100)
    monkeypatch.setattr(metrics, "MOST_POINTS", 20)
    monkeypatch.setattr(metrics, "MOST_KEYS", 20)

    for agg in ("sum", "p50"):
        with pytest.raises(QueryError, match="group by less"):
            world.ask(replace(ASKED, agg=agg, step_ns=600 * S))


def test_merging_does_not_change_an_answer(world: World) -> None:
    world.write(some_points(5, 200), 200, 150)
    rollups.roll_up(world.care)
    before = values(world.ask(ASKED))

    for name in ROLLUPS:
        rollups.merge(world.care, name, TODAY)

    assert values(world.ask(ASKED)) == pytest.approx(before)
