"""Given: what a row's sender gave -> a JSON text that is stored with the row, and from both the record that was sent.

The text, with the body, the columns and the arrival, is all that a reading depends on: `sent_again` makes a record that
is read to the same row. Texts of one batch are mostly the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.records import LogRow, SentLog
from lakehouse.record_view import rfc3339

READING = 2  # version of the reading of lines; another number is another meaning of the same line
TIME, SEVERITY, TRACE, SPAN = 1, 2, 4, 8  # what the sender gave, as bits
_NAMES = {TIME: "timestamp", SEVERITY: "severity", TRACE: "trace_id", SPAN: "span_id"}

Sent = str | int | float
_TEXTS: dict[tuple[Any, ...], str] = {}  # rows of one sender are much alike
_CACHE_SIZE = 1024


def given_text(
    bits: int,
    own: Mapping[str, Any] | None = None,
    observed: Sent | None = None,
    preceding_ns: int | None = None,
    timestamp: Sent | None = None,
) -> str:
    """
    Args:
        bits: Sum of `TIME`, `SEVERITY`, `TRACE` and `SPAN`.
        own: The sender's attributes, flat.
        observed: `observed_timestamp` as it was sent.
        preceding_ns: The time of `preceding_text`, where that was asked.
        timestamp: `timestamp` as it was sent, where it could not be kept.
    """
    own_keys = tuple(sorted(own)) if own else ()
    key = (bits, own_keys, observed, type(observed), preceding_ns, timestamp, type(timestamp))
    text = _TEXTS.get(key)
    if text is None:
        if len(_TEXTS) >= _CACHE_SIZE:
            _TEXTS.clear()
        _TEXTS[key] = text = _written(bits, own_keys, observed, preceding_ns, timestamp)
    return text


def _written(
    bits: int, own: Sequence[str], observed: Sent | None, preceding_ns: int | None, timestamp: Sent | None
) -> str:
    said: dict[str, Any] = {"v": READING}
    given = [name for bit, name in _NAMES.items() if bits & bit]
    if given:
        said["given"] = given
    if own:
        said["attributes"] = own
    values = {"observed": observed, "preceding_ns": preceding_ns, "sent_timestamp": timestamp}
    said |= {name: value for name, value in values.items() if value is not None}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


NOTHING = _written(0, (), None, None, None)


def sent_again(row: LogRow) -> SentLog:
    """A record that is read to `row`, when it arrives at the time when the record of `row` did.

    Raises:
        ValueError: The row has no readable `given`: it was written before there was one.
    """
    said: dict[str, Any] = json.loads(row.given)
    given, preceding_ns = said.get("given", ()), said.get("preceding_ns")
    is_severe = "severity" in given
    return SentLog(
        body=row.body,
        timestamp=said.get("sent_timestamp", rfc3339(row.timestamp_ns)) if "timestamp" in given else None,
        observed_timestamp=said.get("observed"),
        service=row.service,
        env=row.env,
        host=row.host,
        severity_text=row.severity_text if is_severe else None,
        severity_number=(row.severity_number or None) if is_severe else None,
        attributes={key: row.attributes[key] for key in said.get("attributes", ()) if key in row.attributes} or None,
        trace_id=row.trace_id if "trace_id" in given else None,
        span_id=row.span_id if "span_id" in given else None,
        observed_timezone=row.zone or None,
        preceding_text=None if preceding_ns is None else rfc3339(preceding_ns),
    )
