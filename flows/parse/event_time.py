"""Event time: what the sender, the text and the arrival say -> one time in whole microseconds, with a flag where odd.

The sender's `timestamp` wins over one found in the text; then that of the text before, the sender's
`observed_timestamp`, the arrival.
This is the one place where nanoseconds are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.settings import Settings
from contracts.timestamps import timestamp_ns

FLAG, ORIGINAL = "headwater.timestamp.flag", "headwater.timestamp.original"
FUTURE, PAST, OUT_OF_RANGE, INVALID = "future", "past", "out_of_range", "invalid"
MAX_ORIGINAL_CHARS = 128

Sent = str | int | float
SECOND_NS = 1_000_000_000
_LAST_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Usual:
    """Times from `past_ns` before arrival to `future_ns` after it have no flag."""

    past_ns: int
    future_ns: int


def usual_times(settings: Settings) -> Usual:
    return Usual(int(settings.past_limit_days * 86_400) * SECOND_NS, int(settings.future_limit_s * SECOND_NS))


def event_time(sent: Sent | None, arrival_ns: int, usual: Usual, attributes: dict[str, Any]) -> int:
    """`sent` as nanoseconds, cut; what cannot be kept becomes the arrival, and `attributes` say so.

    None: nobody knows the time, it is the arrival.
    """
    if sent is None:
        return arrival_ns - arrival_ns % 1000
    try:
        time_ns = timestamp_ns(sent)
    except (ValueError, OverflowError):
        return _set_aside(sent, INVALID, arrival_ns, attributes)
    return kept(time_ns, sent, arrival_ns, usual, attributes)


def kept(time_ns: int, sent: Sent, arrival_ns: int, usual: Usual, attributes: dict[str, Any]) -> int:
    """A time that is known, cut; `sent` is how it was written."""
    if max(arrival_ns - usual.past_ns, 0) <= time_ns <= arrival_ns + usual.future_ns:
        return time_ns - time_ns % 1000
    if not 0 <= time_ns <= _LAST_NS:
        return _set_aside(sent, OUT_OF_RANGE, arrival_ns, attributes)
    attributes[FLAG] = FUTURE if time_ns > arrival_ns else PAST
    return time_ns - time_ns % 1000


def _set_aside(sent: Sent, flag: str, arrival_ns: int, attributes: dict[str, Any]) -> int:
    attributes[FLAG] = flag
    attributes[ORIGINAL] = str(sent)[:MAX_ORIGINAL_CHARS]
    return arrival_ns - arrival_ns % 1000
