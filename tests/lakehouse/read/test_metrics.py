"""Metric series: every aggregate by hand-made points, split between the lake and the tail in every way."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.answers import SeriesAnswer
from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, MetricQuery, Node, Not, Range, Term
from contracts.records import MetricRow
from lakehouse import open_hot
from lakehouse.lake.store import Lake
from lakehouse.read.search import Search
from tests.lakehouse.lake_samples import ACME, NOON_NS, OTHER, batch, metric
from tests.settings import settings

S = 10**9
VALUES = [3.0, -1.5, 8.0, 8.0, 2.25, 100.0, 0.0]


class World:
    """A hot store and a lake; `landed` of the batches are committed to the lake, all to hot."""

    def __init__(self, path: Path) -> None:
        self.hot = open_hot(f"tantivy://{path / 'hot'}", settings())
        self.lake = Lake(str(path / "lake"), settings())
        self.search = Search(self.hot, self.lake, settings())

    def write(self, rows: list[MetricRow], landed: int) -> None:
        items = [batch(row, offset=offset, kind=Kind.METRICS) for offset, row in enumerate(rows)]
        items.append(batch(metric(0, 1e9), offset=len(rows), kind=Kind.METRICS, tenant=OTHER))
        hot, lake = self.hot.writer(Kind.METRICS), self.lake.writer(Kind.METRICS)
        hot.append(items)
        hot.commit()
        hot.close()
        lake.append(items[:landed])
        lake.commit()

    def ask(self, agg: str, group_by: tuple[str, ...] = (), where: Node | None = None) -> SeriesAnswer:
        end_ns = NOON_NS + 600 * S
        asked = MetricQuery("load", agg, 60 * S, NOON_NS, end_ns, where or All(), group_by)
        return self.search.metrics(ACME, asked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.hot.close()
    made.lake.close()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    return ordered[low] + (at - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


EXPECTED = {
    "avg": statistics.fmean(VALUES),
    "min": -1.5,
    "max": 100.0,
    "sum": sum(VALUES),
    "count": 7.0,
    "p50": 3.0,
    "p90": percentile(VALUES, 0.9),
    "p95": percentile(VALUES, 0.95),
    "p99": percentile(VALUES, 0.99),
}


@pytest.mark.parametrize("landed", [0, 4, 8])
def test_every_aggregate_counts_each_point_once_whatever_has_landed(world: World, landed: int) -> None:
    world.write([metric(0, value, NOON_NS + n * S) for n, value in enumerate(VALUES)], landed)

    for agg, value in EXPECTED.items():
        answer = world.ask(agg)
        (series,) = answer.series
        ((start_ms, found),) = series.points
        assert start_ms == NOON_NS // 10**6
        assert found == pytest.approx(value, rel=1e-5), agg
        assert (answer.tiers["lake"].rows, answer.tiers["hot"].rows) == (min(landed, 7), 7 - min(landed, 7))
        assert not answer.partial


def test_series_are_grouped_by_resource_and_attribute(world: World) -> None:
    rows = [metric(0, n, service=f"s{n % 2}", attributes={"cpu": n % 3, "x": "a"}) for n in range(6)]
    world.write(rows, 3)

    by_service = world.ask("sum", ("service",))
    assert [(series.labels, series.points[0][1]) for series in by_service.series] == [
        ({"service": "s0"}, 6.0),
        ({"service": "s1"}, 9.0),
    ]
    by_cpu = world.ask("count", ("cpu", "attributes.x"))
    assert [series.labels for series in by_cpu.series] == [{"cpu": str(n), "attributes.x": "a"} for n in range(3)]


def test_series_are_grouped_by_a_field_of_their_own_and_by_an_attribute_of_its_name(world: World) -> None:
    rows = [metric(0, n, unit=f"u{n % 2}", attributes={"unit": f"a{n % 3}"}) for n in range(6)]
    world.write(rows, 3)

    def counted(*group_by: str) -> dict[tuple[str, ...], float]:
        series = world.ask("count", group_by).series
        return {tuple(one.labels.values()): one.points[0][1] or 0.0 for one in series}

    assert counted("unit") == {("u0",): 3.0, ("u1",): 3.0}
    assert counted("attributes.unit") == {("a0",): 2.0, ("a1",): 2.0, ("a2",): 2.0}
    assert counted("name", "metric_kind") == {("load", "gauge"): 6.0}


def test_the_sum_of_series_values_does_not_grow_with_the_number_of_samples(world: World) -> None:
    rows = [metric(0, 10.0, NOON_NS + at * S, host="a") for at in range(0, 60, 10)]
    world.write([*rows, metric(0, 5.0, NOON_NS, host="b"), metric(0, 7.0, NOON_NS + 59 * S, host="b")], 4)

    def total(per_series: str) -> float | None:
        query = MetricQuery("load", "sum", 60 * S, NOON_NS, NOON_NS + 60 * S, All(), per_series=per_series)
        return world.search.metrics(ACME, query).series[0].points[0][1]

    found = {per_series: total(per_series) for per_series in ("avg", "sum", "min", "max", "last", "")}
    assert found == {"avg": 16.0, "sum": 72.0, "min": 15.0, "max": 17.0, "last": 17.0, "": 72.0}


def test_a_filter_reaches_both_tiers(world: World) -> None:
    world.write([metric(0, n, attributes={"cpu": n % 2}) for n in range(6)], 3)

    assert world.ask("sum", where=Term("attributes.cpu", "1")).series[0].points[0][1] == 9.0


@pytest.mark.parametrize("landed", [0, 3, 5, 9])
def test_rate_is_the_increase_per_second_with_restarts_from_zero(world: World, landed: int) -> None:
    def point(at_s: int, value: float, host: str) -> MetricRow:
        return metric(0, value, NOON_NS + at_s * S, metric_kind="sum", host=host)

    rows = [point(-30, 100, "a"), point(0, 160, "a"), point(30, 220, "a"), point(60, 30, "a"), point(90, 60, "a")]
    rows += [point(10, 5, "b"), point(50, 65, "b"), point(70, 65, "b")]
    world.write([*rows, metric(0, 7.0, NOON_NS)], landed)  # the last one is a gauge, and no part of a rate

    (series,) = world.ask("rate").series
    # By the time between two samples: 60 and 30 of a, 60 of b lie in the first minute, and then 30 of a.
    first, second = (60 + 30 + 60) / 60, (30 + 0) / 60
    assert [value for _, value in series.points] == pytest.approx([first, second])


def test_steps_start_at_multiples_of_their_width_and_empty_ones_are_left_out(world: World) -> None:
    world.write([metric(0, 1.0, NOON_NS + at * S) for at in (59, 60, 61, 300)], 2)

    (series,) = world.ask("count").series
    start = NOON_NS // 10**6
    assert series.points == [(start, 1.0), (start + 60_000, 2.0), (start + 300_000, 1.0)]


def test_a_name_with_quotes_is_a_name(world: World) -> None:
    world.write([metric(0, 1.0)], 1)
    asked = MetricQuery("x' OR '1'='1", "sum", S, NOON_NS, NOON_NS + S, All(), ("a' , b",))

    assert world.search.metrics(ACME, asked).series == []


def test_an_unknown_aggregate_or_too_many_points_are_refused(world: World) -> None:
    with pytest.raises(QueryError, match="not known"):
        world.ask("median")
    with pytest.raises(QueryError, match="longer step"):
        world.search.metrics(ACME, MetricQuery("load", "sum", S, 0, NOON_NS, All()))


@pytest.mark.parametrize("landed", [0, 3, 6])
@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (Term("attributes.ip", "2001:db8::/32"), 2),
        (Term("attributes.ip", "10.0.0.0/8"), 1),
        (Not(Term("attributes.ip", "2001:db8::/32")), 4),
        (Term("attributes.tags", "red"), 1),
        (And((Term("attributes.tags", "red"), Term("attributes.ip", "::1"))), 0),
        (Range("attributes.n", 2**63 - 1, None, include_low=False), 1),
    ],
)
def test_points_are_chosen_by_what_sql_alone_cannot_tell(world: World, landed: int, where: Node, wanted: int) -> None:
    labels: list[dict[str, object]] = [
        {"ip": "2001:DB8::1"},
        {"ip": "2001:db8:0::2"},
        {"ip": "10.1.2.3"},
        {"tags": ["blue", "red"]},
        {"n": 2**63},
        {"n": 2**63 - 1},
    ]
    world.write([metric(0, 1.0, attributes=each) for each in labels], landed)
    series = world.ask("count", where=where).series
    assert sum(value or 0 for each in series for _, value in each.points) == wanted
