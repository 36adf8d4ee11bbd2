"""Metrics: points of one name -> series of aggregates per group and step.

Steps start at multiples of their width. Percentiles interpolate linearly between the nearest ranks, to a
millionth of their distance. With `per_series` each raw series (all labels) first becomes one value a step, and these
are aggregated. `rate` reads points of kind "sum" alone: see `metric_rates`. A value that no number holds is None.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from contracts.answers import Series, SeriesAnswer
from contracts.errors import QueryError, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import DEFAULT_TIERS, KEYWORD_FIELDS, And, MetricQuery, Term, Tier
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.conditions import ATTRIBUTE
from lakehouse.lake.store import Lake
from lakehouse.read.metric_rates import rate_sql, widened
from lakehouse.read.metric_windows import RAW_SERIES, Windows, added_up, is_sketched, pin, points_sql, windows_sql
from lakehouse.read.tail import Answer, Ask, ask
from lakehouse.sql.attributes import value_sql

MOST_POINTS = 500_000  # of all series together
MOST_KEYS = 2_000_000  # of the sketches of all points together

_COLUMNS = (*RAW_SERIES, "name", "timestamp", "value")
_OWN = KEYWORD_FIELDS[Kind.METRICS] & {*_COLUMNS}
_PLACE = ("bus_partition", "bus_offset", "bus_index")
_AGGREGATES = {
    "avg": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "sum": "sum(value)",
    "count": "CAST(count(*) AS DOUBLE)",
} | {f"p{percent}": f"percentile_cont({percent / 100}) WITHIN GROUP (ORDER BY value)" for percent in (50, 90, 95, 99)}
_PER_SERIES = {name: _AGGREGATES[name] for name in ("avg", "sum", "min", "max")} | {
    "last": f"last_value(value ORDER BY timestamp, {', '.join(_PLACE)})"
}
_SAME = {("sum", "sum"), ("min", "min"), ("max", "max")}  # of all points and of the series' values


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
    _check_aggregates(query)
    if (query.agg, query.per_series) in _SAME:
        query = replace(query, per_series="")
    if (query.end_ns - query.start_ns) // query.step_ns > settings.query_points:
        raise QueryError(
            f"more than {settings.query_points} points a series: use a longer step", code="too_many_points"
        )
    try:
        windows = pin(lake, settings, query) if Tier.LAKE in tiers else None
    except StoreError:  # the raw points' tiers say what is missing
        windows = None
    if windows is None:
        return _from_points(hot, lake, settings, tenant, query, tiers)
    return _from_windows(hot, lake, tenant, query, tiers, windows)


def _check_aggregates(query: MetricQuery) -> None:
    if query.agg != "rate" and query.agg not in _AGGREGATES:
        raise QueryError(
            f'aggregate "{query.agg[:20]}" is not known: use rate, {", ".join(_AGGREGATES)}', code="bad_value"
        )
    if query.per_series and query.per_series not in _PER_SERIES:
        known = ", ".join(_PER_SERIES)
        raise QueryError(f'per_series "{query.per_series[:20]}" is not known: use {known}', code="bad_value")
    if query.per_series and query.agg == "rate":
        raise QueryError("rate counts each series by itself already: leave per_series out", code="bad_value")


def _from_points(
    hot: HotStore | None, lake: Lake, settings: Settings, tenant: Tenant, query: MetricQuery, tiers: Collection[str]
) -> SeriesAnswer:
    look_back_ns = round(settings.query_look_back_s * 1e9) if query.agg == "rate" else 0
    wide = widened(query, look_back_ns)
    found = _ask(hot, lake, tenant, wide, tiers, "TRUE", lambda points: _series_sql(query, points, look_back_ns))
    _check(len(found.rows), MOST_POINTS)
    series, overflowed = _series(query, found.rows)
    return SeriesAnswer(series, found.partial, found.tiers, overflowed=overflowed)


def _from_windows(
    hot: HotStore | None, lake: Lake, tenant: Tenant, query: MetricQuery, tiers: Collection[str], windows: Windows
) -> SeriesAnswer:
    labels, most = _labels(query), MOST_KEYS if is_sketched(query) else MOST_POINTS

    def sql(points: str) -> str:
        return points_sql(query, points, labels, most)

    found = _ask(hot, lake, tenant, query, tiers, windows.raw_sql(), sql)
    started, rows = time.perf_counter(), []
    for part in windows.pinned:
        rows += part.snapshot.query(windows_sql(part, tenant, query, labels, most)).to_pylist()
    _check(len(found.rows) + len(rows), MOST_POINTS)
    _check(sum(len(row["keys"]) for row in (*found.rows, *rows)), MOST_KEYS)
    series, overflowed = _series(query, added_up(query, [*found.rows, *rows]))
    use = found.tiers["lake"]
    took_ms = round(use.took_ms + (time.perf_counter() - started) * 1000, 3)
    uses = {**found.tiers, "lake": replace(use, rows=use.rows + sum(row["n"] for row in rows), took_ms=took_ms)}
    return SeriesAnswer(series, found.partial, uses, windows.resolution, is_sketched(query), overflowed)


def _ask(
    hot: HotStore | None,
    lake: Lake,
    tenant: Tenant,
    query: MetricQuery,
    tiers: Collection[str],
    which: str,
    sql: Callable[[str], str],
) -> Answer:
    """Run `sql` over the raw points of the lake and the hot store's tail that match the query and `which`."""
    where = And((Term("name", query.name), query.where))
    question = Ask(tenant, Kind.METRICS, where, query.start_ns, query.end_ns, tiers, which)
    return ask(hot, lake, question, (*_COLUMNS, *_PLACE), sql)


def _check(points: int, most: int) -> None:
    if points > most:
        raise QueryError(f"more than {most} points in all: group by less, or use a longer step", code="too_many_points")


def _series_sql(query: MetricQuery, points: str, look_back_ns: int) -> str:
    by = ", ".join([*(f"g{at}" for at in range(len(query.group_by))), "step"])
    limit = f"ORDER BY {by} LIMIT {MOST_POINTS + 1}"
    if query.agg == "rate":
        return f"{rate_sql(query, points, _labels(query)[:-1], look_back_ns)} {limit}"
    value, n, labelled = _AGGREGATES[query.agg], "count(*)", f"SELECT *, {', '.join(_labels(query))} FROM ({points})"
    if query.per_series:
        series, one = ", ".join(RAW_SERIES), _PER_SERIES[query.per_series]
        labelled = f"SELECT {by}, {one} AS value, count(*) AS n FROM ({labelled}) GROUP BY {by}, {series}"
        n = "sum(n)"
    return f"SELECT {by}, {value} AS value, {n} AS n FROM ({labelled}) GROUP BY {by} {limit}"


def _labels(query: MetricQuery) -> list[str]:
    labels = [f"{_label_sql(name)} AS g{at}" for at, name in enumerate(query.group_by)]
    return [*labels, f"CAST(timestamp AS BIGINT) / {query.step_ns // 1000:d} AS step"]


def _label_sql(name: str) -> str:
    return name if name in _OWN else value_sql(name.removeprefix(ATTRIBUTE))


def _series(query: MetricQuery, rows: list[dict[str, object]]) -> tuple[list[Series], int]:
    """Series, and how many of their values no number holds."""
    points: dict[tuple[object, ...], list[tuple[int, float | None]]] = {}
    overflowed = 0
    for row in rows:
        labels = tuple(row[f"g{at}"] for at in range(len(query.group_by)))
        start_ms = int(str(row["step"])) * (query.step_ns // 1000) // 1000
        value = float(str(row["value"]))
        overflowed += not math.isfinite(value)
        points.setdefault(labels, []).append((start_ms, value if math.isfinite(value) else None))
    found = [
        Series({name: str(text) for name, text in zip(query.group_by, labels, strict=True)}, series)
        for labels, series in points.items()
    ]
    return found, overflowed
