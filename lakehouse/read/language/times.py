"""Times and durations of requests: text -> nanoseconds.

A time is RFC 3339 (`2026-03-01T12:00:00Z`; date alone is midnight; no zone is UTC), an epoch number (seconds,
milliseconds, microseconds or nanoseconds by its size), or `now`, `now-15m`, `now-1d+2h`. Units: ms s m h d w.
In a query a date alone is the whole day, UTC.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

from contracts.errors import QueryError
from contracts.timestamps import timestamp_ns

SECOND = 1_000_000_000
UNITS = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86_400 * SECOND,
    "w": 604_800 * SECOND,
}

# Stored times lie between 1970 and the last whole microsecond of int64 nanoseconds; what a request names outside
# of that means the same as the edge.
EARLIEST_NS = 0
LATEST_NS = (2**63 - 1) // 1000 * 1000
LAST_DATE = dt.date.max.isoformat()

MAX_CHARS = 64
_HINT = "use RFC 3339 (2026-03-01T12:00:00Z), an epoch number, or now-15m (units ms s m h d w)"
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|w)?\Z")
# "+" of a query string that was not percent-encoded arrives as a blank.
_RELATIVE = re.compile(r"now((?:[-+ ][0-9]{1,12}(?:ms|s|m|h|d|w))*)\Z")
_STEP = re.compile(r"([-+ ])([0-9]+)([a-z]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BLANK_FOR_PLUS = re.compile(r"(.*[0-9]{2}:[0-9]{2}[0-9:.,]*) ([0-9]{2}:?[0-9]{2})\Z")


def parse_time(text: str, now_ns: int, *, position: int | None = None) -> int:
    """Read a point in time: Unix nanoseconds UTC, moved to `EARLIEST_NS`..`LATEST_NS`.

    Raises:
        QueryError: It is no time (code "bad_time").
    """
    text = text.strip()
    if len(text) <= MAX_CHARS:
        found = _relative(text, now_ns)
        if found is None:
            found = _absolute(text)
        if found is not None:
            return min(max(found, EARLIEST_NS), LATEST_NS)
    raise QueryError(f'"{text[:MAX_CHARS]}" is not a time', code="bad_time", position=position, hint=_HINT)


def is_date(text: str) -> bool:
    """Whether `text` has the form of a date alone."""
    return _DATE.match(text.strip()) is not None


def next_date(text: str) -> str:
    """The date after the one that `text` is, which is not `LAST_DATE`."""
    return (dt.date.fromisoformat(text.strip()) + dt.timedelta(1)).isoformat()


def parse_span(text: str, now_ns: int, *, position: int | None = None) -> tuple[int, int]:
    """Read a time as `parse_time` does: its first and its last nanosecond, which differ for a date alone.

    Raises:
        QueryError: It is no time (code "bad_time").
    """
    first = parse_time(text, now_ns, position=position)
    return first, min(first + UNITS["d"] - 1, LATEST_NS) if is_date(text) else first


def parse_duration(text: str) -> int:
    """Read a length of time such as `60s`, `1m`, `1.5h`, or a number of seconds: nanoseconds, above 0.

    Raises:
        QueryError: It is none (code "bad_duration").
    """
    match = _DURATION.match(text.strip())
    length = int(Decimal(match[1]) * UNITS[match[2] or "s"]) if match else 0
    if length <= 0 or length > LATEST_NS:
        hint = "use a number and a unit of ms, s, m, h, d, w, such as 60s"
        raise QueryError(f'"{text[:MAX_CHARS]}" is not a duration', code="bad_duration", hint=hint)
    return length


def format_duration(length_ns: int) -> str:
    """Write a length of time in the largest unit that holds it whole; below 1 ms it is rounded up."""
    for unit in ("w", "d", "h", "m", "s"):
        if length_ns and length_ns % UNITS[unit] == 0:
            return f"{length_ns // UNITS[unit]}{unit}"
    return f"{-(-length_ns // UNITS['ms'])}ms"


def _relative(text: str, now_ns: int) -> int | None:
    match = _RELATIVE.match(text)
    if match is None:
        return None
    moved = now_ns
    for sign, count, unit in _STEP.findall(match[1]):
        moved += (-1 if sign == "-" else 1) * int(count) * UNITS[unit]
    return moved


def _absolute(text: str) -> int | None:
    zoned = _BLANK_FOR_PLUS.match(text)
    try:
        return timestamp_ns(f"{zoned[1]}+{zoned[2]}" if zoned else text)
    except ValueError:
        return None
