"""`GET /metrics/query`: a metric name, an aggregation and a time range -> series of points."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from contracts.messages import Kind
from contracts.query import MetricQuery
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
    Query(description="service, env, host or attribute keys: one series for each value; repeat or use commas."),
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
    service: Service = [],  # noqa: B006
    env: Env = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    q: Text = "",
    tiers: Tiers = DEFAULT_TIERS_TEXT,
) -> Response:
    """`{"series": [{"labels", "points": [[epoch_ms, value], ...]}], "partial", "tiers", "resolution", "approximate",
    "took_ms"}`. Points stand at
    multiples of the step; a step without points is left out."""
    now_ns, asked = stores.clock(), tiers_of(tiers)
    start_ns, end_ns = closed_range(start or DEFAULT_RANGE, end or "now", now_ns)
    step_ns = step_of(step, end_ns - start_ns, stores.settings.query_points)
    values = {"service": service, "env": env, "host": host}
    node = where(Kind.METRICS, q, values, (), now_ns, stores.settings)
    query = MetricQuery(name, agg.value, step_ns, start_ns, end_ns, node, _groups(group_by), resolution.value)
    with asking(stores) as took_ms:
        found = stores.search.metrics(reader.tenant, query, asked)
    return json_answer(
        {
            "series": [{"labels": series.labels, "points": series.points} for series in found.series],
            "partial": found.partial,
            "tiers": tiers_shown(found.tiers),
            "resolution": found.resolution,
            "approximate": found.approximate,
            "took_ms": took_ms(),
        }
    )


def _groups(group_by: list[str]) -> tuple[str, ...]:
    keys = [key.strip() for given in group_by for key in given.split(",") if key.strip()]
    plain = dict.fromkeys(
        key.partition(".")[2] or key if key.startswith(("attributes.", "attr.")) else key for key in keys
    )
    if len(plain) > MAX_GROUPS:
        raise Problem(400, "too_many_groups", f"more than {MAX_GROUPS} keys: leave some out", parameter="group_by")
    return tuple(plain)
