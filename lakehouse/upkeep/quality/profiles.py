"""Profiles: one arrival day of a table -> small frames for the checks, computed by SQL.

A frame has at most some hundred rows. SQL counts the rows of the day; only a sample of their attributes is read.
docs/quality.md describes the columns of each frame.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp
from statistics import median
from typing import Any

from contracts.batches import IMPORTED
from contracts.messages import Kind
from lakehouse.delta.notes import gone_of_day
from lakehouse.delta.schemas import RESERVED_NAMES, SCHEMAS
from lakehouse.lake.archive import finished_moves
from lakehouse.lake.view import View
from lakehouse.upkeep.archive.holdings import lake_days
from lakehouse.upkeep.archive.moves import archive_table, moved_note
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import PinnedRows
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.quality.accounts import DAY, offsets_frame
from lakehouse.upkeep.quality.attribute_sample import attributes_frame, sampled_keys
from lakehouse.upkeep.quality.sources import Source, sources_frame

Frame = Sequence[Mapping[str, Any]]

AHEAD_S = 300  # a record dated later than this after its arrival comes from a clock that is ahead
LEAST_RECORDS = 100  # no share is computed for fewer records of a service, or of a usual hour
MOST_GONE = 0.01  # share of a day's rows; if more were removed, its hours are not compared with other days
LEAST_DAYS = 3  # an hour is compared with at least so many days
HISTORY = 7  # earlier days that a profile is compared with
FRAME_ROWS = 1000  # most rows of a frame, the worst first
REPEATS = 200  # most groups of 32 numbers in the list of repeats

# Keys that must be unique: the columns that a group shares, and the number within the group.
_NUMBERED = {
    "id": ("tenant, producer, epoch, stream", "sequence"),
    "place": ("tenant, bus_partition, bus_offset", "bus_index"),
}

# Columns that must not be empty. The others may be empty, but never NULL.
_FILLED = ("tenant", "producer", "pipeline", "name", "attributes", "reason", "stage", "source_kind", "metric_kind")

# Attributes that an agent adds. If a record has no other attribute, no parser could read its line.
_AGENTS_OWN = r'^\{("(log\.file\.name|log\.file\.path|log\.iostream)":"([^"\\]|\\.)*",?)*\}$'
_UNPARSED = (
    "CASE WHEN severity_number = 0 AND severity_text = '' AND trace_id = '' "
    f"THEN attributes = '{{}}' OR regexp_like(attributes, '{_AGENTS_OWN}') ELSE FALSE END"
)
_LIVE = f"bus_partition <> {IMPORTED:d}"  # the arrival time of an imported row is the time of its import
_LAG_US = "arrow_cast(observed_timestamp, 'Int64') - arrow_cast(timestamp, 'Int64')"
_AHEAD = -1
# A bucket of lags is a quarter of an e-fold wide; quantile sketches would cost three times as much.
_LAG_BUCKET = (
    f"CASE WHEN NOT ({_LIVE}) THEN NULL WHEN {_LAG_US} < -{AHEAD_S}000000 THEN {_AHEAD} "
    f"ELSE CAST(floor(ln(greatest({_LAG_US}, 1)) * 4) AS INT) END"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Profile of one day of one table.

    Attributes:
        rows: Number of rows of the day.
        frames: Small tables by name; every row has the same keys. See docs/quality.md.
        facts: Facts that profiles of later days are compared with: records by hour, columns, attribute keys, sources.
    """

    name: str
    day: dt.date
    rows: int
    frames: Mapping[str, Frame]
    facts: Mapping[str, Any]


def profile(care: Care, name: str, day: dt.date) -> Profile:
    """Profile a day in the newest version of the table, with the rows that moved to the archive.

    Raises:
        StoreError: The table cannot be read.
    """
    kind = Kind(name)
    before = quality.history(care, name, day, HISTORY)
    pinned, gone, in_lake = _pinned(care, kind, day)
    rows = pinned.day(day, SCHEMAS[name].names, SCHEMAS[name])
    columns, count = columns_frame(pinned, kind, rows)
    hours = hour_counts(pinned, rows)
    keys = sampled_keys(pinned, rows, count) if "attributes" in SCHEMAS[name].names else {}
    repeated = _ids_frame(pinned, rows)
    sources, largest = _sources(care, pinned, kind, day, rows, before)
    frames: dict[str, Frame] = {
        "columns": columns,
        "services": [] if kind is Kind.DEAD_LETTERS else services_frame(pinned, kind, rows),
        "sources": sources,
        "hours": hours_frame(hours, [] if gone > MOST_GONE * count else before, _ended_hours(care, day)),
        "offsets": offsets_frame(care, kind, day, pinned, repeated, gone),
        "ids": repeated,
        "schema": schema_frame(pinned, before),
        "attributes": attributes_frame(keys, [facts.get("attributes", {}) for _, facts in before]),
    }
    facts = {
        "rows": count,
        "in_lake": in_lake,
        "hours": {str(hour): found for hour, found in hours.items()},
        "columns": pinned.columns,
        "sources": largest,
        "attributes": {key: {"share": seen.share, "types": seen.types} for key, seen in keys.items()},
        "version": pinned.version,
    }
    return Profile(name, day, count, frames, facts)


def _pinned(care: Care, kind: Kind, day: dt.date) -> tuple[PinnedRows, int, int]:
    """The lake's table, with the archive if it has rows of the day or of a neighbouring day; the number of removed
    rows of the day; the number of its rows in the lake."""
    warm = care.table(kind.value)
    held = lake_days(warm).get(day)
    in_lake = held.rows if held else 0
    beside = (day - DAY, day, day + DAY)
    if all(warm.noted(moved_note(each)) is None for each in beside):
        return PinnedRows(warm), gone_of_day(warm, day), in_lake
    archive = archive_table(care, kind)
    view = View(warm, archive, finished_moves(warm))
    return PinnedRows(view), gone_of_day(warm, day) + gone_of_day(archive, day), in_lake


def _ended_hours(care: Care, day: dt.date) -> int:
    """Number of hours of the day that are over."""
    if day < care.today():
        return 24
    return dt.datetime.fromtimestamp(care.now_ns() / 1e9, dt.UTC).hour if day == care.today() else 0


def _sources(
    care: Care,
    pinned: PinnedRows,
    kind: Kind,
    day: dt.date,
    rows: str,
    before: Sequence[tuple[dt.date, Mapping[str, Any]]],
) -> tuple[Frame, Sequence[Source]]:
    if kind is Kind.DEAD_LETTERS:
        return [], []
    live = f"(SELECT * FROM {rows} WHERE {_LIVE}) AS live"
    known = before[0][1].get("sources", []) if before else []
    return sources_frame(
        pinned, live, care.now_ns() // 1000 if day >= care.today() else 0, day + DAY, known, FRAME_ROWS
    )


def columns_frame(pinned: PinnedRows, kind: Kind, rows: str) -> tuple[Frame, int]:
    """One row per column with the numbers of NULL and empty values, and the number of rows of the day.

    Reserved columns are NULL by design and have no row.
    """
    names = [name for name in SCHEMAS[kind.value].names if name not in RESERVED_NAMES]
    counted = [f"count({name}) AS n_{name}" for name in names]
    counted += [f"count(*) FILTER (WHERE {name} = '') AS e_{name}" for name in names if name in _FILLED]
    found = pinned.rows(f"SELECT count(*) AS n, {', '.join(counted)} FROM {rows}")[0]
    frame = []
    for name in names:
        nulls, empty = found["n"] - found[f"n_{name}"], found.get(f"e_{name}", 0)
        frame.append({"column": name, "nulls": nulls, "empty": empty, "missing": nulls + empty})
    return frame, found["n"]


def services_frame(pinned: PinnedRows, kind: Kind, rows: str) -> Frame:
    """One row per tenant and service: severity, unparsed records, clocks, values."""
    own = {
        Kind.LOGS: {
            "severity_outside": "severity_number < 0 OR severity_number > 24",
            "unparsed": _UNPARSED,
        },
        Kind.METRICS: {"not_finite": "isnan(value) OR abs(value) > 1.7976931348623157e308"},
    }.get(kind, {})
    counted = "".join(f", count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in own.items())
    found = pinned.rows(
        f"SELECT tenant, service, {_LAG_BUCKET} AS bucket, count(*) AS records, min({_LAG_US}) AS least,"
        f" max({_LAG_US}) AS most{counted} FROM {rows} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    frame = []
    for (tenant, service), parts in groupby(found, key=lambda row: (row["tenant"], row["service"])):
        buckets = list(parts)
        records = sum(row["records"] for row in buckets)
        totals = {name: sum(row[name] for row in buckets) for name in own}
        frame.append({"tenant": tenant, "service": service, "records": records} | _clock(buckets) | totals)
        if "unparsed" in totals:
            frame[-1]["unparsed_share"] = _share(totals["unparsed"], records)
    return frame


def _clock(buckets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lag and lead of the sender's clock in seconds, from the times of records that came by the bus."""
    live = [row for row in buckets if row["bucket"] is not None]
    count = sum(row["records"] for row in live)
    ahead = sum(row["records"] for row in live if row["bucket"] == _AHEAD)
    return {
        "lag_p50_s": _percentile(live, count, 0.5) if count >= LEAST_RECORDS else None,
        "lag_p99_s": _percentile(live, count, 0.99) if count >= LEAST_RECORDS else None,
        "lag_max_s": max((row["most"] for row in live), default=0) / 1e6,
        "ahead_max_s": max(0, *(-row["least"] for row in live), 0) / 1e6,
        "ahead": ahead,
        "ahead_share": _share(ahead, count),
    }


def _percentile(buckets: Sequence[Mapping[str, Any]], count: int, share: float) -> float:
    """Upper end of the percentile's bucket, at most 28 % too high; 0 if the clock is ahead."""
    passed = 0
    for row in buckets:
        passed += row["records"]
        if passed >= share * count:
            return 0.0 if row["bucket"] < 0 else round(min(exp((row["bucket"] + 1) / 4), row["most"]) / 1e6, 6)
    return 0.0


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole >= LEAST_RECORDS else None


def hour_counts(pinned: PinnedRows, rows: str) -> dict[int, int]:
    """Records by hour of arrival."""
    found = pinned.rows(
        "SELECT (arrow_cast(observed_timestamp, 'Int64') / 3600000000) % 24 AS hour, count(*) AS n"
        f" FROM {rows} WHERE {_LIVE} GROUP BY 1"
    )
    return {row["hour"]: row["n"] for row in found}


def hours_frame(hours: Mapping[int, int], before: Sequence[tuple[dt.date, Mapping[str, Any]]], ended: int) -> Frame:
    """One row per hour that is over: its records, and the median of the same hour on earlier days."""
    frame = []
    for hour in range(ended):
        earlier = [facts["hours"].get(str(hour), 0) for _, facts in before if facts.get("hours")]
        usual = median(earlier) if len(earlier) >= LEAST_DAYS else None
        records = hours.get(hour, 0)
        ratio = round(records / usual, 4) if usual is not None and usual >= LEAST_RECORDS else None
        frame.append({"hour": hour, "records": records, "usual": usual, "days": len(earlier), "ratio": ratio})
    return frame


def schema_frame(pinned: PinnedRows, before: Sequence[tuple[dt.date, Mapping[str, Any]]]) -> Frame:
    """One row per column: its type now and on the newest earlier day; without an earlier day, the declared type."""
    schema = SCHEMAS[pinned.name]
    was = next((facts["columns"] for _, facts in before if facts.get("columns")), None)
    if was is None:
        was = {field.name: pinned.columns.get(field.name, str(field.type)) for field in schema}
    names = [*was, *(name for name in pinned.columns if name not in was)]
    return [
        {
            "column": name,
            "type": pinned.columns.get(name, "none"),
            "was": was.get(name, "none"),
            "changed": int(pinned.columns.get(name) != was.get(name)),
        }
        for name in names
    ]


def _ids_frame(pinned: PinnedRows, rows: str) -> Sequence[Mapping[str, Any]]:
    """One row per group of repeated ids or bus positions; one row with 0 if none is repeated.

    An id is derived from (tenant, producer, epoch, stream, sequence). Sequence numbers are dense, so 32 numbers form a
    group with one bit for each number. If a number is repeated, the sum of the bits is greater than their union. This
    is exact and needs a thirtieth of the groups that counting each number would need.
    """
    return [row for what in _NUMBERED for row in _repeated(pinned, rows, what)]


def _repeated(pinned: PinnedRows, rows: str, what: str) -> list[dict[str, Any]]:
    keys, number = _NUMBERED[what]
    found = pinned.rows(
        f"SELECT {keys}, block, bits, n FROM ("
        f"SELECT {keys}, {number} / 32 AS block, count(*) AS n, bit_or(CAST(1 AS BIGINT) << {number} % 32) AS bits,"
        f" sum(CAST(1 AS BIGINT) << {number} % 32) AS total FROM {rows} WHERE {number} IS NOT NULL"
        f" GROUP BY {keys}, {number} / 32) AS blocks WHERE total <> bits LIMIT {REPEATS}"
    )
    listed = [
        {
            "what": what,
            "where": ", ".join(f"{key} {row[key]}" for key in keys.split(", ")),
            "first": row["block"] * 32,
            "repeated": row["n"] - row["bits"].bit_count(),
            "tenant": row["tenant"],
            "bus_partition": row.get("bus_partition", -1),
        }
        for row in found
    ]
    if not listed:
        return [{"what": what, "where": "", "first": 0, "repeated": 0, "tenant": "", "bus_partition": -1}]
    return listed
