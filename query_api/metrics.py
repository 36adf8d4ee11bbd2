"""`GET /metrics/query`: a metric name, an aggregation and a time range -> series of points."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, MetricQuery
from query_api.backend import KNOWN_ONLY, PROBLEMS, Reader, Stores, asking, json_answer, tiers_shown
from query_api.filters import closed_range, where
from query_api.parameters import DEFAULT_TIERS_TEXT, End, Env, Host, Service, Start, Text, Tiers, tiers_of
from query_api.series import step_of
from web.problems import Problem

router = APIRouter(tags=["query"])

DEFAULT_RANGE = "now-1h"
MAX_GROUPS = 8
MetricName = Annotated[str, Query(min_length=1, max_length=256, description="Metric name, whole.")]
Step = Annotated[str, Query(description="Width of a point, such as 60s or 1m; by default one that fits the range.")]
GroupBy = Annotated[
    list[str],
    Query(
        description="service, env, host, name, unit, metric_kind or attribute keys (attributes.unit where a field has "
        "that name): one series for each value; repeat or use commas."
    ),
]


class Agg(StrEnum):
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    RATE = "rate"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class PerSeries(StrEnum):
    """What a raw series (all labels) is in a step, before `agg` goes over the series."""

    AVG = "avg"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    LAST = "last"


class Resolution(StrEnum):
    AUTO = "auto"
    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"


Resolved = Annotated[
    Resolution,
    Query(description="What the answer is made of: raw points, or windows of 1m or 1h where the step is a multiple."),
]
Aggregation = Annotated[Agg, Query(description="How the points of a step become one; rate is the increase per second.")]
OfSeries = Annotated[
    PerSeries | None,
    Query(
        description="Each raw series first becomes one value a step, and agg goes over these. By default sum takes "
        "avg, so that it does not grow with the number of samples (sum gives the sum of all points); the others take "
        "all points."
    ),
]


@router.get(
    "/metrics/query", summary="Query a metric", response_class=Response, responses=PROBLEMS, dependencies=KNOWN_ONLY
)
def query_metric(
    stores: Stores,
    reader: Reader,
    name: MetricName,
    agg: Aggregation = Agg.AVG,
    step: Step = "",
    start: Start = DEFAULT_RANGE,
    end: End = "now",
    group_by: GroupBy = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    resolution: Resolved = Resolution.AUTO,
    per_series: OfSeries = None,
    service: Service = [],  # noqa: B006
    env: Env = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    q: Text = "",
    tiers: Tiers = DEFAULT_TIERS_TEXT,
) -> Response:
    """`{"series": [{"labels", "points": [[epoch_ms, value], ...]}], "partial", "tiers", "resolution", "approximate",
    "warnings", "took_ms"}`. Points stand at
    multiples of the step; a step without points is left out. A value that no number holds is null, and warned of."""
    now_ns, asked = stores.clock(), tiers_of(tiers)
    start_ns, end_ns = closed_range(start or DEFAULT_RANGE, end or "now", now_ns)
    step_ns = step_of(step, end_ns - start_ns, stores.settings.query_points)
    values = {"service": service, "env": env, "host": host}
    node = where(Kind.METRICS, q, values, (), now_ns, stores.settings)
    shape = (_groups(group_by), resolution.value, _of_series(agg, per_series))
    query = MetricQuery(name, agg.value, step_ns, start_ns, end_ns, node, *shape)
    with asking(stores) as took_ms:
        found = stores.search.metrics(reader.tenant, query, asked)
    return json_answer(
        {
            "series": [{"labels": series.labels, "points": series.points} for series in found.series],
            "partial": found.partial,
            "tiers": tiers_shown(found.tiers),
            "resolution": found.resolution,
            "approximate": found.approximate,
            "warnings": _warnings(found.overflowed),
            "took_ms": took_ms(),
        }
    )


def _of_series(agg: Agg, given: PerSeries | None) -> str:
    if given is None:
        return PerSeries.AVG.value if agg is Agg.SUM else ""
    return given.value


def _warnings(overflowed: int) -> list[str]:
    if not overflowed:
        return []
    points = "1 point is" if overflowed == 1 else f"{overflowed} points are"
    return [f"{points} null: the value is beyond ±1.8e308, the largest number; use a narrower filter, or agg=max"]


def _groups(group_by: list[str]) -> tuple[str, ...]:
    keys = [key.strip() for given in group_by for key in given.split(",") if key.strip()]
    plain = dict.fromkeys(_group(key) for key in keys)
    if len(plain) > MAX_GROUPS:
        raise Problem(400, "too_many_groups", f"more than {MAX_GROUPS} keys: leave some out", parameter="group_by")
    return tuple(plain)


def _group(key: str) -> str:
    """A field's own name, or an attribute's key, with its prefix where a field has that name."""
    if not key.startswith(("attributes.", "attr.")):
        return key
    attribute = key.partition(".")[2]
    return f"attributes.{attribute}" if attribute in KEYWORD_FIELDS[Kind.METRICS] else attribute
