"""Sources: one arrival day of a table, and the sources of an earlier day -> the silent sources, and for how long."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lakehouse.sql.literals import text_literal
from lakehouse.upkeep.pinned import PinnedRows

Source = Sequence[Any]  # tenant, service, host, and the time of its newest record in microseconds; plain JSON

KEPT = 300  # sources with most records that the next day is compared with


def sources_frame(
    pinned: PinnedRows, rows: str, now_us: int, end: dt.date, before: Iterable[Source], most: int
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Source]]:
    """One row per service and host, the longest silent first, with its newest record and the time of silence after it.

    Silence ends at the newest record of all sources. Sources of `before` without a record on this day have a row too,
    so a source that stops late on one day shows on the next day.

    Args:
        rows: A subquery.
        now_us: End of silence while the day is open; 0 if the day is over.
        end: The next day; silence ends at its start if the day has no record.
        most: Most rows of the frame.

    Returns:
        The frame, and the sources that the next day is compared with.
    """
    found = pinned.rows(
        "SELECT * FROM (SELECT *, max(newest) OVER () AS last, count(*) OVER () AS sources,"
        " row_number() OVER (ORDER BY newest) AS silent,"
        " row_number() OVER (ORDER BY records DESC, tenant, service, host) AS place FROM (SELECT tenant, service, host,"
        f" count(*) AS records, max(arrow_cast(observed_timestamp, 'Int64')) AS newest FROM {rows}"
        f" GROUP BY tenant, service, host) AS grouped) AS ranked WHERE silent <= {most} OR place <= {KEPT}"
    )
    absent = _absent(pinned, rows, found, before)
    midnight_us = int(dt.datetime.combine(end, dt.time(), dt.UTC).timestamp()) * 10**6
    until = now_us or max((row["last"] for row in found), default=midnight_us)
    listed = [row for row in found if row["silent"] <= most] + absent
    frame = [_told(row, until) for row in sorted(listed, key=lambda row: int(row["newest"]))[:most]]
    kept = sorted((row for row in found if row["place"] <= KEPT), key=lambda row: int(row["place"]))
    return frame, [[*_key(row), row["newest"]] for row in kept]


def _absent(
    pinned: PinnedRows, rows: str, found: Sequence[Mapping[str, Any]], before: Iterable[Source]
) -> list[Mapping[str, Any]]:
    there = {_key(row) for row in found}
    lacking = [source for source in before if tuple(source[:3]) not in there]
    if lacking and found and found[0]["sources"] > len(found):  # the source may have records and be in neither list
        hosts = ", ".join(sorted({text_literal(source[2]) for source in lacking}))
        there |= {
            _key(row)
            for row in pinned.rows(f"SELECT DISTINCT tenant, service, host FROM {rows} WHERE host IN ({hosts})")
        }
    return [
        {"tenant": tenant, "service": service, "host": host, "records": 0, "newest": newest}
        for tenant, service, host, newest in lacking
        if (tenant, service, host) not in there
    ]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["tenant"], row["service"], row["host"]


def _told(row: Mapping[str, Any], until_us: int) -> Mapping[str, Any]:
    return {
        "tenant": row["tenant"],
        "service": row["service"],
        "host": row["host"],
        "records": row["records"],
        "newest": dt.datetime.fromtimestamp(row["newest"] / 1e6, dt.UTC).isoformat(),
        "silent_h": round((until_us - row["newest"]) / 3.6e9, 3),
    }
