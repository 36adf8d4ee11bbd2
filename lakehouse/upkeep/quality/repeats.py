"""Repeats: rows of a day -> how many record ids, and how many places on the bus, are there more than once.

An id is derived from (tenant, producer, epoch, stream, sequence). Numbers of one stream follow on one another, so 32 of
them at a time share a group, a bit each: the sum of the bits is more than their union when one is there twice. That
needs a thirtieth of the groups that counting each would need, and is as exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.upkeep.pinned import PinnedRows

GROUPS = 200  # that repeats are listed of

_OWN = {
    "id": ("tenant, producer, epoch, stream", "sequence"),
    "place": ("tenant, bus_partition, bus_offset", "bus_index"),
}


def ids_frame(pinned: PinnedRows, rows: str) -> Sequence[Mapping[str, Any]]:
    """One row per group of repeated ids or places, and one of each kind for all: "what", "where", "repeated"."""
    return [row for what in _OWN for row in _repeated(pinned, rows, what)]


def _repeated(pinned: PinnedRows, rows: str, what: str) -> list[dict[str, Any]]:
    keys, number = _OWN[what]
    found = pinned.rows(
        f"SELECT {keys}, block, bits, n FROM ("
        f"SELECT {keys}, {number} / 32 AS block, count(*) AS n, bit_or(CAST(1 AS BIGINT) << {number} % 32) AS bits,"
        f" sum(CAST(1 AS BIGINT) << {number} % 32) AS total FROM {rows} WHERE {number} IS NOT NULL"
        f" GROUP BY {keys}, {number} / 32) AS blocks WHERE total <> bits LIMIT {GROUPS}"
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
