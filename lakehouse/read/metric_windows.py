"""Metric series of long ranges: windows of the rollup tables, and raw points where these do not reach -> sums by step.

The rollup tables are pinned first, with the places on the bus they cover; raw points count that lie past these, or in
the parts of the time range that are no whole windows. So each point counts once, whatever lands meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.batches import arrival_day
from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, MetricQuery, Node, Not, Or
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.conditions import ATTRIBUTE
from lakehouse.delta.schemas import ROLLUPS, SERIES
from lakehouse.lake.snapshot import Snapshot
from lakehouse.lake.store import Lake
from lakehouse.read.settled import settled_sql
from lakehouse.sql.coverage import past_sql
from lakehouse.sql.literals import text_literal
from lakehouse.sql.query import time_sql
from lakehouse.sql.sketch import key_sql, quantile

RAW, AUTO = "raw", "auto"
RESOLUTIONS = {name.removeprefix("metrics_"): name for name in ROLLUPS}
SHARES = {f"p{percent}": percent / 100 for percent in (50, 90, 95, 99)}
RAW_SERIES = ("service", "env", "host", "unit", "metric_kind", "attributes")  # of one tenant and name

Span = tuple[int, int]


_PLACE = ("last_timestamp", "last_partition", "last_offset", "last_index")
_POINT = dict(zip(_PLACE, ("timestamp", "bus_partition", "bus_offset", "bus_index"), strict=True))


@dataclass(slots=True)
class Sums:
    """What the points of one series and step add up to."""

    n: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    sketch: list[tuple[int, int]] = field(default_factory=list)  # keys and counts
    latest: tuple[Any, ...] = ()  # time, place on the bus, value

    def add(self, row: dict[str, Any]) -> None:
        self.n += row["n"]
        if "last" in row:
            self.latest = max(self.latest, tuple(row[name] for name in (*_PLACE, "last")))
        self.total += row["total"]
        self.low, self.high = min(self.low, row["low"]), max(self.high, row["high"])
        self.sketch += zip(row["keys"], row["counts"], strict=True)


VALUES: dict[str, Callable[[Sums], float]] = {
    "avg": lambda sums: sums.total / sums.n,
    "min": lambda sums: sums.low,
    "max": lambda sums: sums.high,
    "sum": lambda sums: sums.total,
    "count": lambda sums: float(sums.n),
    "last": lambda sums: float(sums.latest[-1]),
}


def is_sketched(query: MetricQuery) -> bool:
    """Whether rollups answer by their sketches, which is within 1 %."""
    return query.agg in SHARES and not query.per_series


def added_up(query: MetricQuery, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows "g0", ..., "step", "value", sorted, from rows of `windows_sql` and `points_sql`."""
    names = (*(f"g{at}" for at in range(len(query.group_by))), "step")
    series = RAW_SERIES if query.per_series else ()
    sums: dict[tuple[Any, ...], Sums] = {}
    for row in rows:
        sums.setdefault(tuple(row[name] for name in (*names, *series)), Sums()).add(row)
    if not query.per_series:
        values = {key: _value(query.agg, found) for key, found in sums.items()}
    else:
        values = _over_series(query, {key: VALUES[query.per_series](found) for key, found in sums.items()}, len(names))
    return [dict(zip(names, key, strict=True)) | {"value": values[key]} for key in sorted(values)]


def _value(agg: str, sums: Sums) -> float:
    if agg in VALUES:
        return VALUES[agg](sums)
    keys, counts = zip(*sorted(sums.sketch), strict=True)
    return quantile(keys, counts, SHARES[agg], sums.low, sums.high)


def _over_series(
    query: MetricQuery, of_series: dict[tuple[Any, ...], float], names: int
) -> dict[tuple[Any, ...], float]:
    """Values of series by group, step and series -> aggregates by group and step."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for key, value in of_series.items():
        found.setdefault(key[:names], []).append(value)
    if query.agg in SHARES:
        return {key: _ranked(sorted(values), SHARES[query.agg]) for key, values in found.items()}
    return {
        key: VALUES[query.agg](Sums(len(values), sum(values), min(values), max(values)))
        for key, values in found.items()
    }


def _ranked(ascending: Sequence[float], share: float) -> float:
    """The value at `share` of the way through the ranks, linear between two."""
    at = share * (len(ascending) - 1)
    low, part = ascending[int(at)], at - int(at)
    return low * (1 - part) + ascending[min(int(at) + 1, len(ascending) - 1)] * part


@dataclass(frozen=True, slots=True)
class Pinned:
    """One rollup table, and the spans of event time (nanoseconds) that are read from it."""

    name: str
    snapshot: Snapshot
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Windows:
    """Rollup tables pinned for one query, the coarsest first, and the spans that none of them has in whole windows."""

    pinned: Sequence[Pinned]
    rest: Sequence[Span]

    @property
    def resolution(self) -> str:
        return next(pin.name.removeprefix("metrics_") for pin in self.pinned if pin.snapshot.landed)

    def raw_sql(self) -> str:
        """The raw points that no row read from the pinned tables counts."""
        past = [f"(({_spans_sql(pin.spans)}) AND {past_sql(pin.snapshot.landed)})" for pin in self.pinned]
        return f"({' OR '.join([*past, *([_spans_sql(self.rest)] if self.rest else [])])})"


def pin(lake: Lake, settings: Settings, query: MetricQuery) -> Windows | None:
    """Pin the rollup tables that `query` is to be answered from; None: from raw points alone.

    Raises:
        QueryError: The query asks for a resolution that cannot answer it.
        StoreError: The lake cannot be read.
    """
    names = _names(query)
    if query.resolution == AUTO and is_sketched(query) and names and not _is_near_enough(lake, settings, query):
        return None
    pinned, rest = [], [(query.start_ns, query.end_ns)]
    for name in names:
        spans, rest = _cut(rest, ROLLUPS[name] * 10**9)
        if spans:
            pinned.append(Pinned(name, lake.rollup(name), spans))
    return Windows(pinned, rest) if any(pin.snapshot.landed for pin in pinned) else None


def _names(query: MetricQuery) -> list[str]:
    if query.resolution == RAW:
        return []
    if query.resolution not in (AUTO, *RESOLUTIONS):
        known = ", ".join((AUTO, RAW, *RESOLUTIONS))
        raise QueryError(f'resolution "{query.resolution[:20]}" is not known: use one of {known}', code="bad_value")
    fitting = [name for name, width_s in ROLLUPS.items() if not query.step_ns % (width_s * 10**9)]
    if query.resolution == AUTO:
        return [] if _unfit(query) else fitting
    asked = RESOLUTIONS[query.resolution]
    if unfit := _unfit(query) or ("" if asked in fitting else "its step"):
        tell = f'resolution "{query.resolution}" cannot answer a query because of {unfit}: use resolution=raw'
        raise QueryError(tell, code="bad_value")
    return [name for name in fitting if ROLLUPS[name] <= ROLLUPS[asked]]


def _unfit(query: MetricQuery) -> str:
    if query.agg not in VALUES and query.agg not in SHARES:
        return f'its aggregate "{query.agg}"'
    strange = next((name for name in _fields(query.where) if name not in SERIES and not name.startswith(ATTRIBUTE)), "")
    return strange and f'its filter on "{strange}"'


def _fields(node: Node) -> list[str]:
    if isinstance(node, All):
        return []
    if isinstance(node, And | Or):
        return [name for part in node.nodes for name in _fields(part)]
    return _fields(node.node) if isinstance(node, Not) else [node.field]


def _is_near_enough(lake: Lake, settings: Settings, query: MetricQuery) -> bool:
    """Whether percentiles may be approximate: the range is long, or begins before the raw points that are left."""
    if query.end_ns - query.start_ns >= settings.query_sketch_h * 3600 * 10**9:
        return True
    name = next(iter(ROLLUPS))
    rolled = _oldest_day(lake.rollup(name))
    raw = _oldest_day(lake.snapshot(Kind.METRICS))
    if rolled is None or (raw is not None and raw <= rolled):
        return False
    return raw is None or arrival_day(query.start_ns) < raw


def _oldest_day(snapshot: Snapshot) -> dt.date | None:
    (row,) = snapshot.query(f"SELECT min(day) AS day FROM {snapshot.name}").to_pylist()
    day: dt.date | None = row["day"]
    return day


def _cut(spans: Sequence[Span], width_ns: int) -> tuple[list[Span], list[Span]]:
    """The whole windows within `spans`, and what is left of them."""
    whole, rest = [], []
    for start, end in spans:
        first, last = -(-start // width_ns) * width_ns, end // width_ns * width_ns
        if first < last:
            whole.append((first, last))
            rest += [span for span in ((start, first), (last, end)) if span[0] < span[1]]
        else:
            rest.append((start, end))
    return whole, rest


def _spans_sql(spans: Sequence[Span]) -> str:
    return " OR ".join(f"({' AND '.join(time_sql(*span))})" for span in spans)


def windows_sql(pin: Pinned, tenant: Tenant, query: MetricQuery, labels: Sequence[str], most: int) -> str:
    """Rows "g0", ..., "step", "n", "total", "low", "high", "keys", "counts" of a pinned table.

    Args:
        labels: Expressions with the names "g0", ... and "step".
        most: Rows, or for percentiles keys of all rows; there is one more when there are more.
    """
    conditions = [f"tenant = {text_literal(tenant)}", f"name = {text_literal(query.name)}"]
    conditions.append(f"({_spans_sql(pin.spans)})")
    conditions.append(settled_sql(query.where, Kind.METRICS, pin.snapshot, pin.name, conditions))
    key, n = ("unnest(sketch_keys)", "unnest(sketch_counts)") if is_sketched(query) else ("0", '"count"')
    rows = (
        f'SELECT *, {key} AS key, {n} AS points, "sum" AS total, "min" AS low, "max" AS high '
        f"FROM {pin.name} WHERE {' AND '.join(conditions)}"
    )
    return _sums_sql(query, rows, labels, most)


def points_sql(query: MetricQuery, points: str, labels: Sequence[str], most: int) -> str:
    """The same of raw points."""
    key = key_sql("value") if is_sketched(query) else "0"
    last = ", ".join(f"{column} AS {name}" for name, column in {**_POINT, "last": "value"}.items())
    rows = f"SELECT *, {key} AS key, 1 AS points, value AS total, value AS low, value AS high, {last} FROM ({points})"
    return _sums_sql(query, rows, labels, most)


def _sums_sql(query: MetricQuery, rows: str, labels: Sequence[str], most: int) -> str:
    series = RAW_SERIES if query.per_series else ()
    by = ", ".join([*(f"g{at}" for at in range(len(query.group_by))), "step", *series])
    labelled = f"SELECT *, {', '.join(labels)} FROM ({rows})"
    sums = "min(low) AS low, max(high) AS high"
    if query.per_series == "last":
        order = ", ".join(_PLACE)
        sums += "".join(f", last_value({name} ORDER BY {order}) AS {name}" for name in (*_PLACE, "last"))
    if not is_sketched(query):
        return (
            f"SELECT {by}, sum(points) AS n, sum(total) AS total, {sums}, [] AS keys, [] AS counts "
            f"FROM ({labelled}) GROUP BY {by} LIMIT {most + 1:d}"
        )
    # Lists: a row a key costs Python more than the query costs the engine.
    keys = f"SELECT {by}, key, sum(points) AS points, {sums} FROM ({labelled}) GROUP BY {by}, key LIMIT {most + 1:d}"
    lists = "array_agg(key) AS keys, array_agg(points) AS counts"
    return f"SELECT {by}, sum(points) AS n, CAST(0 AS DOUBLE) AS total, {sums}, {lists} FROM ({keys}) GROUP BY {by}"
