"""`rate` depends on the samples alone: no step, start or gap changes what an instant adds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, MetricQuery
from contracts.records import MetricRow
from lakehouse.lake.store import Lake
from lakehouse.read.search import Search
from tests.lakehouse.lake_samples import ACME, NOON_NS, batch, metric
from tests.settings import settings as load

S = 10**9
LOOK_BACK_S = 300

Samples = list[tuple[float, float]]  # (seconds after noon, value), ascending


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Search]]:
    lake = Lake(str(tmp_path_factory.mktemp("rates") / "lake"), load())
    yield lake, Search(None, lake, load())
    lake.close()


names = (f"counter-{number}" for number in itertools.count())
offsets = itertools.count()


def write(lake: Lake, of_hosts: Sequence[Samples]) -> str:
    """Samples of a metric of its own, one series a host, sent in no order of time; its name."""
    name = next(names)
    rows: list[MetricRow] = [
        metric(0, value, NOON_NS + round(at_s * S), name=name, metric_kind="sum", host=f"h{number}")
        for number, samples in enumerate(of_hosts)
        for at_s, value in reversed(samples)
    ]
    for index, row in enumerate(rows):
        row.index = index
    if rows:
        writer = lake.writer(Kind.METRICS)
        writer.append([batch(*rows, offset=next(offsets), kind=Kind.METRICS)])
        writer.commit()
        writer.close()
    return name


def ask(search: Search, name: str, start_s: float, end_s: float, step_s: int) -> dict[float, float]:
    """Values by the second after noon at which their step starts."""
    start_ns, end_ns = NOON_NS + round(start_s * S), NOON_NS + round(end_s * S)
    series = search.metrics(ACME, MetricQuery(name, "rate", step_s * S, start_ns, end_ns, All())).series
    points = series[0].points if series else []
    return {at_ms / 1000 - NOON_NS / S: value for at_ms, value in points if value is not None}


def increase(samples: Samples, start_s: float, end_s: float) -> float:
    """What the samples add from `start_s` to `end_s`, each increase spread over its time."""
    total = 0.0
    for (since, before), (until, value) in itertools.pairwise(samples):
        overlap = min(until, end_s) - max(since, start_s)
        if until - since <= LOOK_BACK_S and overlap > 0:
            total += (value - before if value >= before else value) * overlap / (until - since)
    return total


samples = st.lists(
    st.tuples(st.integers(1, 400_000), st.integers(0, 1000)), max_size=12  # ms since the sample before, value
).map(
    lambda found: [(sum(gap for gap, _ in found[: at + 1]) / 1000, float(value)) for at, (_, value) in enumerate(found)]
)


@given(
    of_hosts=st.lists(samples, min_size=1, max_size=3),
    start_s=st.integers(-100, 1500),
    length_ms=st.integers(1, 3_000_000),
    step_s=st.integers(1, 4000),
)
@settings(max_examples=60, deadline=None)
def test_the_integral_of_rate_is_the_increase_whatever_step_and_start(
    world: tuple[Lake, Search], of_hosts: list[Samples], start_s: int, length_ms: int, step_s: int
) -> None:
    lake, search = world
    end_s = start_s + length_ms / 1000
    name = write(lake, of_hosts)

    points = ask(search, name, start_s, end_s, step_s)

    lengths = {at: min(at + step_s, end_s) - max(at, start_s) for at in points}
    integral = sum(value * lengths[at] for at, value in points.items())
    assert integral == pytest.approx(sum(increase(each, start_s, end_s) for each in of_hosts), rel=1e-6, abs=1e-6)
    for at, value in points.items():
        part = sum(increase(each, max(at, start_s), min(at + step_s, end_s)) for each in of_hosts)
        assert value == pytest.approx(part / lengths[at], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("step_s", [1, 7, 15, 60, 90, 3600])
@pytest.mark.parametrize("start_s", [0, 13, 119])
def test_a_steady_counter_has_one_value_at_every_step_and_start(
    world: tuple[Lake, Search], step_s: int, start_s: int
) -> None:
    name = write(world[0], [[(at_s, 1000.0 + at_s) for at_s in range(0, 601, 60)]])

    values = ask(world[1], name, start_s, 590, step_s).values()
    assert list(values) == pytest.approx([1.0] * len(values))
    assert len(values) >= (590 - start_s) / step_s


def test_a_gap_as_long_as_the_look_back_counts_and_a_longer_one_has_no_points(world: tuple[Lake, Search]) -> None:
    name = write(world[0], [[(0, 0.0), (300, 300.0), (600.001, 900.0), (610, 910.0)]])

    assert ask(world[1], name, 0, 600, 100) == pytest.approx({0: 1.0, 100: 1.0, 200: 1.0})
    assert ask(world[1], name, 301, 600, 100) == {}


def test_the_look_back_is_a_setting(world: tuple[Lake, Search]) -> None:
    name = write(world[0], [[(0, 0.0), (3600, 3600.0)]])
    patient = Search(None, world[0], load(query_look_back_s=3600))

    assert ask(world[1], name, 0, 3600, 600) == {}
    assert ask(patient, name, 0, 3600, 600) == pytest.approx(dict.fromkeys(range(0, 3600, 600), 1.0))


def test_of_samples_at_one_time_the_last_on_the_bus_counts(world: tuple[Lake, Search]) -> None:
    name = write(world[0], [[(0, 0.0), (60, 30.0), (60, 60.0), (120, 120.0)]])  # written in the other order

    assert ask(world[1], name, 0, 120, 60) == pytest.approx({0: 0.5, 60: 1.5})


def test_a_single_sample_has_no_rate_and_a_counter_that_stands_still_has_0(world: tuple[Lake, Search]) -> None:
    assert ask(world[1], write(world[0], [[(10, 5.0)]]), 0, 60, 60) == {}
    assert ask(world[1], write(world[0], [[(0, 5.0), (60, 5.0)]]), 0, 60, 60) == {0: 0.0}


def test_a_counter_that_falls_below_0_does_not_make_a_rate_negative(world: tuple[Lake, Search]) -> None:
    name = write(world[0], [[(0, 5.0), (60, -5.0), (120, 55.0)]])

    assert ask(world[1], name, 0, 120, 60) == pytest.approx({0: 0.0, 60: 1.0})


def test_series_values_cannot_be_asked_of_a_rate(world: tuple[Lake, Search]) -> None:
    query = MetricQuery("x", "rate", 60 * S, NOON_NS, NOON_NS + 60 * S, All(), per_series="avg")
    with pytest.raises(QueryError, match="leave per_series out"):
        world[1].metrics(ACME, query)
