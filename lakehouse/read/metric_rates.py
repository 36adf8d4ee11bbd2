"""`rate`: samples of cumulative sums -> the increase per second by group and step, as SQL.

The increase between two samples of a raw series that follow each other is spread evenly over the time between them.
A fall is a restart from 0: the later sample is the increase. Of samples at one time the last on the bus counts. No
increase is counted across a gap longer than the look-back. A step has the increases of its part within the range,
divided by the length of that part; so what an instant adds depends on the samples alone, and the sum over all steps of
value times length is the increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contracts.query import MetricQuery

_SERIES = ("service", "env", "host", "unit", "attributes")
_PLACE = ("bus_partition", "bus_offset", "bus_index")


def widened(query: MetricQuery, look_back_ns: int) -> MetricQuery:
    """`query` with the range from which samples are needed: an increase may begin before it and end after it."""
    return replace(query, start_ns=max(0, query.start_ns - look_back_ns), end_ns=query.end_ns + look_back_ns)


def rate_sql(query: MetricQuery, points: str, labels: Sequence[str], look_back_ns: int) -> str:
    """Rows "g0", ..., "step", "value", "n" (increases that begin in the step) from raw points of the widened range.

    Args:
        labels: Expressions over `points` with the names "g0", ...
    """
    groups = "".join(f"g{at}, " for at in range(len(query.group_by)))
    labelled = "".join(f", {label}" for label in labels)
    width, start, end = query.step_ns // 1000, -(-query.start_ns // 1000), -(-query.end_ns // 1000)
    parts = (
        f"SELECT *, unnest(range(first / {width:d}, (last - 1) / {width:d} + 1)) AS step FROM (SELECT since, until, "
        f"increase, greatest(since, {start:d}) AS first, least(until, {end:d}) AS last{labelled} "
        f"FROM ({_increases(points)}) "
        f"WHERE until - since <= {look_back_ns // 1000:d} AND until > {start:d} AND since < {end:d})"
    )
    share = f"(least(last, (step + 1) * {width:d}) - greatest(first, step * {width:d})) / CAST(until - since AS DOUBLE)"
    sums = (
        f"SELECT {groups}step, sum(increase * {share}) AS increase, "
        f"sum(CASE WHEN step = first / {width:d} THEN 1 ELSE 0 END) AS n "
        f"FROM ({parts}) GROUP BY {groups}step"
    )
    length_us = f"(least((step + 1) * {width:d}, {end:d}) - greatest(step * {width:d}, {start:d}))"
    return f"SELECT {groups}step, increase / ({length_us} / 1e6) AS value, n FROM ({sums})"


def _increases(points: str) -> str:
    """Samples with the time of the one before ("since") and their own ("until"), microseconds, and the increase."""
    by = f"PARTITION BY {', '.join(_SERIES)} ORDER BY timestamp"
    later = f"lead(timestamp) OVER ({by}, {', '.join(_PLACE)}) AS later"
    single = f"SELECT * FROM (SELECT *, {later} FROM ({points}) WHERE metric_kind = 'sum') WHERE later IS NULL OR "
    single += "later > timestamp"
    before = f"lag(value) OVER ({by}) AS before, lag(CAST(timestamp AS BIGINT)) OVER ({by}) AS since"
    increase = "CASE WHEN value >= before THEN value - before ELSE greatest(value, 0.0) END AS increase"
    return (
        f"SELECT *, CAST(timestamp AS BIGINT) AS until, {increase} FROM (SELECT *, {before} FROM ({single})) "
        "WHERE since IS NOT NULL"
    )
