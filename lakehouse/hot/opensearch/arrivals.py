"""Places on the bus -> a clause of a query, and a record that was found -> an `HotArrival`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.hot import LINES, HotArrival
from contracts.query import Position
from lakehouse.hot.opensearch.document import pack, unpack
from lakehouse.hot.opensearch.query import Query, any_of


def places(start: Mapping[int, int], end: Mapping[int, int]) -> Query:
    """Positions at or past the places `start` and before `end`, by partition; see `HotStore.arrivals`."""
    return any_of(
        [
            {
                "range": {
                    "position": {"gte": _packed(partition, start.get(partition, 0)), "lt": _packed(partition, place)}
                }
            }
            for partition, place in end.items()
            if start.get(partition, 0) < place
        ]
    )


def arrival(record: Mapping[str, Any]) -> HotArrival:
    position = unpack(record["position"])
    return HotArrival(position.partition, position.offset * LINES + position.index, record)


def _packed(partition: int, place: int) -> int:
    return pack(Position(partition, place // LINES, place % LINES))
