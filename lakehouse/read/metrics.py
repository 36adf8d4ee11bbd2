"""Metrics: points of one name -> series of aggregates per group and step.

Steps start at multiples of their width. Percentiles interpolate linearly between the nearest ranks, to a
millionth of their distance.
`rate` reads points of kind "sum" alone: the increase from each point of a raw series to its next counts in the step
of the later one, a fall counts as a restart from 0, and points up to `LOOK_BACK_S` before the range serve as the first
predecessors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from contracts.answers import Series, SeriesAnswer
from contracts.errors import QueryError, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import DEFAULT_TIERS, And, MetricQuery, Term, Tier
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.lake.store import Lake
from lakehouse.read.metric_windows import SHARES, Windows, added_up, pin, points_sql, windows_sql
from lakehouse.read.tail import Answer, Ask, ask
from lakehouse.sql.attributes import value_sql
from lakehouse.sql.literals import text_literal, time_literal
from lakehouse.sql.query import ATTRIBUTE, time_sql, where_sql

LOOK_BACK_S = 300
MOST_POINTS = 500_000  # of all series together
MOST_KEYS = 2_000_000  # of the sketches of all points together

_RESOURCE = ("service", "env", "host")
_COLUMNS = (*_RESOURCE, "unit", "metric_kind", "attributes", "timestamp", "value")
_PLACE = ("bus_partition", "bus_offset", "bus_index")
_AGGREGATES = {
    "avg": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "sum": "sum(value)",
    "count": "CAST(count(*) AS DOUBLE)",
} | {f"p{percent}": f"percentile_cont({percent / 100}) WITHIN GROUP (ORDER BY value)" for percent in (50, 90, 95, 99)}


def answer(
    hot: HotStore | None,
    lake: Lake,
    settings: Settings,
    tenant: Tenant,
    query: MetricQuery,
    tiers: Collection[str] = DEFAULT_TIERS,
) -> SeriesAnswer:
    """Series sorted by their labels.

    Raises:
        StoreError: No tier could answer.
        QueryError: An unknown aggregate, or too many points.
    """
    if query.agg != "rate" and query.agg not in _AGGREGATES:
        raise QueryError(
            f'aggregate "{query.agg[:20]}" is not known: use rate, {", ".join(_AGGREGATES)}', code="bad_value"
        )
    if (query.end_ns - query.start_ns) // query.step_ns > settings.query_points:
        raise QueryError(
            f"more than {settings.query_points} points a series: use a longer step", code="too_many_points"
        )
    try:
        windows = pin(lake, settings, query) if Tier.LAKE in tiers else None
    except StoreError:  # the raw points' tiers say what is missing
        windows = None
    if windows is None:
        return _from_points(hot, lake, tenant, query, tiers)
    return _from_windows(hot, lake, tenant, query, tiers, windows)


def _from_points(
    hot: HotStore | None, lake: Lake, tenant: Tenant, query: MetricQuery, tiers: Collection[str]
) -> SeriesAnswer:
    start_ns = query.start_ns
    if query.agg == "rate":
        start_ns = max(0, start_ns - max(query.step_ns, LOOK_BACK_S * 10**9))
    found = _ask(hot, lake, tenant, query, tiers, start_ns, "TRUE", lambda points: _series_sql(query, points))
    _check(len(found.rows), MOST_POINTS)
    return SeriesAnswer(_series(query, found.rows), found.partial, found.tiers)


def _from_windows(
    hot: HotStore | None, lake: Lake, tenant: Tenant, query: MetricQuery, tiers: Collection[str], windows: Windows
) -> SeriesAnswer:
    labels, most = _labels(query), MOST_KEYS if query.agg in SHARES else MOST_POINTS

    def sql(points: str) -> str:
        return points_sql(query, points, labels, most)

    found = _ask(hot, lake, tenant, query, tiers, query.start_ns, windows.raw_sql(), sql)
    started, rows = time.perf_counter(), []
    for part in windows.pinned:
        rows += part.snapshot.query(windows_sql(part, tenant, query, labels, most)).to_pylist()
    _check(len(found.rows) + len(rows), MOST_POINTS)
    _check(sum(len(row["keys"]) for row in (*found.rows, *rows)), MOST_KEYS)
    series = _series(query, added_up(query, [*found.rows, *rows]))
    use = found.tiers["lake"]
    took_ms = round(use.took_ms + (time.perf_counter() - started) * 1000, 3)
    uses = {**found.tiers, "lake": replace(use, rows=use.rows + sum(row["n"] for row in rows), took_ms=took_ms)}
    return SeriesAnswer(series, found.partial, uses, windows.resolution, query.agg in SHARES)


def _ask(
    hot: HotStore | None,
    lake: Lake,
    tenant: Tenant,
    query: MetricQuery,
    tiers: Collection[str],
    start_ns: int,
    which: str,
    sql: Callable[[str], str],
) -> Answer:
    """Run `sql` over the raw points of the lake and the hot store's tail that match the query and `which`."""
    where = And((Term("name", query.name), query.where))
    question = Ask(tenant, Kind.METRICS, where, start_ns, query.end_ns, tiers)
    conditions = [f"tenant = {text_literal(tenant)}", *time_sql(start_ns, query.end_ns), where_sql(where, Kind.METRICS)]
    columns = (*_COLUMNS, *_PLACE)
    table = f"SELECT {', '.join(columns)} FROM metrics WHERE {' AND '.join([*conditions, which])}"
    return ask(
        hot, lake, question, columns, lambda tail: sql(f"{table} UNION ALL SELECT * FROM ({tail}) WHERE {which}")
    )


def _check(points: int, most: int) -> None:
    if points > most:
        raise QueryError(f"more than {most} points in all: group by less, or use a longer step", code="too_many_points")


def _series_sql(query: MetricQuery, points: str) -> str:
    groups = [f"g{at}" for at in range(len(query.group_by))]
    if query.agg == "rate":
        points = _increases(query, points)
        value = f"sum(increase) / {query.step_ns / 1e9!r}"
    else:
        value = _AGGREGATES[query.agg]
    return (
        f"SELECT {', '.join([*groups, 'step', f'{value} AS value', 'count(*) AS n'])} "
        f"FROM (SELECT *, {', '.join(_labels(query))} FROM ({points})) "
        f"GROUP BY {', '.join([*groups, 'step'])} ORDER BY {', '.join([*groups, 'step'])} LIMIT {MOST_POINTS + 1}"
    )


def _increases(query: MetricQuery, points: str) -> str:
    series = ", ".join((*_RESOURCE, "unit", "attributes"))
    before = f"lag(value) OVER (PARTITION BY {series} ORDER BY timestamp, {', '.join(_PLACE)})"
    increase = "CASE WHEN before IS NULL THEN 0.0 WHEN value >= before THEN value - before ELSE value END AS increase"
    return (
        f"SELECT *, {increase} FROM (SELECT *, {before} AS before FROM ({points}) WHERE metric_kind = 'sum') "
        f"WHERE timestamp >= {time_literal(query.start_ns // 1000)}"
    )


def _labels(query: MetricQuery) -> list[str]:
    labels = [f"{_label_sql(name)} AS g{at}" for at, name in enumerate(query.group_by)]
    return [*labels, f"CAST(timestamp AS BIGINT) / {query.step_ns // 1000:d} AS step"]


def _label_sql(name: str) -> str:
    return name if name in _RESOURCE else value_sql(name.removeprefix(ATTRIBUTE))


def _series(query: MetricQuery, rows: list[dict[str, object]]) -> list[Series]:
    points: dict[tuple[object, ...], list[tuple[int, float]]] = {}
    for row in rows:
        labels = tuple(row[f"g{at}"] for at in range(len(query.group_by)))
        start_ms = int(str(row["step"])) * (query.step_ns // 1000) // 1000
        points.setdefault(labels, []).append((start_ms, float(str(row["value"]))))
    return [
        Series({name: str(text) for name, text in zip(query.group_by, labels, strict=True)}, series)
        for labels, series in points.items()
    ]
