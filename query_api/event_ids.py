"""Ids of a tail's events: the tail's position -> text for `id:`, and a `Last-Event-ID` -> the position to resume at.

    1:0.8060928,1.65536                      next place by bus partition (`contracts.hot.LINES`)
    1:0.8060928;1767225600000000000.0.12.3   the same, in the middle of the history that comes first: after this record

The id holds the whole state of a tail, so any process can resume it, after any restart. The id gives no access beyond
the caller's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.query import Cursor, Position
from web.problems import Problem

HEADER = "last-event-id"
MAX_CHARS = 32 << 10
_PARTITIONS, _PLACES, _TIMES = 1 << 10, 1 << 54, 1 << 63
_FORM = re.compile(
    r"1:((?:\d{1,4}\.\d{1,17}(?:,\d{1,4}\.\d{1,17})*)?)(?:;(\d{1,19})\.(\d{1,4})\.(\d{1,12})\.(\d{1,5}))?", re.A
)


@dataclass(frozen=True, slots=True)
class EventId:
    """`history` is the last record of the history that was sent; None: the history is over."""

    places: Mapping[int, int]
    history: Cursor | None = None


def write_id(places: Mapping[int, int], history: Cursor | None = None) -> bytes:
    text = "1:" + ",".join([f"{partition}.{place}" for partition, place in places.items()])
    if history is not None:
        at = history.position
        text += f";{history.timestamp_ns}.{at.partition}.{at.offset}.{at.index}"
    return text.encode()


def read_id(text: str) -> EventId | None:
    """None for no text, as browsers send before the first event.

    Raises:
        Problem: 400 "bad_last_event_id".
    """
    if not text:
        return None
    found = _FORM.fullmatch(text) if len(text) <= MAX_CHARS else None
    if found is None:
        raise _refusal()
    parts = [part.partition(".") for part in found[1].split(",") if part]
    given = [(int(partition), int(place)) for partition, _, place in parts]
    places = dict(sorted(given))
    if len(places) < len(given) or any(part >= _PARTITIONS or place >= _PLACES for part, place in given):
        raise _refusal()
    return EventId(places, _history(found) if found[2] else None)


def _history(found: re.Match[str]) -> Cursor:
    timestamp_ns, partition, offset, index = map(int, found.group(2, 3, 4, 5))
    if timestamp_ns >= _TIMES or partition >= _PARTITIONS or offset >= _PLACES >> 16 or index >= 1 << 16:
        raise _refusal()
    return Cursor(timestamp_ns, Position(partition, offset, index))


def _refusal() -> Problem:
    tell = "Last-Event-ID is not an id that a tail sent: send the id of the last event unchanged, or omit the header"
    return Problem(400, "bad_last_event_id", tell)
