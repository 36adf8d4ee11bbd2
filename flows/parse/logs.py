"""Logs: decoded records -> rows, with what their lines say of themselves.

What the sender says wins over what stands in the text: severity, timestamp, trace ids, attributes of the same name.
A text without a time takes that of the text before it, where the sender sends its start. The body stays the line as it
came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.batches import Reject
from contracts.messages import BatchHeader, Kind
from contracts.records import LogRow, Row, SentLog
from contracts.settings import Settings
from contracts.timestamps import timestamp_ns
from flows.parse.attributes import flatten, is_flat
from flows.parse.batch import Parsed, Parser, payload_limit, refusal
from flows.parse.clock import Clock, utc_of
from flows.parse.event_time import FLAG, Usual, event_time, kept, usual_times
from flows.parse.facts import AttributeLimits, LineFacts
from flows.parse.given import NOTHING, SEVERITY, SPAN, TIME, TRACE, Sent, given_text
from flows.parse.line import Finder
from flows.parse.tolerant import TolerantDecoder
from text.levels import UNKNOWN, Severity, named, text_of
from text.zones import UTC

_LAST_NS = (1 << 63) - 1
Flat = dict[str, Any] | None


class LogRows:
    """Records of one batch -> rows.

    A row is a function of the record, of the arrival in whole microseconds, and of the settings; its columns `given`
    and `zone` hold what else is needed to read it again.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = AttributeLimits(settings.ingest_attributes, settings.ingest_depth)
        self._usual = usual_times(settings)
        self._clock = Clock(settings)

    def __call__(self, header: BatchHeader, indices: Sequence[int], records: Sequence[SentLog]) -> Parsed:
        arrival_ns = header.received_ns - header.received_ns % 1000
        reader = _Reader(self._limits, self._usual, self._clock, arrival_ns)
        find = reader.finder.find
        rows: list[Row] = []
        rejects: list[Reject] = []
        usual: dict[str, Any] | None = None  # attributes that need no second look: records of one file share them
        shape: dict[str, Any] | None = None  # the same, flat: what equals it has its keys
        for index, sent in zip(indices, records, strict=True):
            body = sent.body if sent.body is not None else sent.message
            if body is None:
                rejects.append(refusal(index, sent, "missing_body", "record has neither body nor message"))
                continue
            own = sent.attributes or None
            if own != usual:
                usual = own
                shape = own if own is None or is_flat(own) else flatten(own, self._limits.depth)
            if shape is not usual and own is not None:
                own = flatten(own, self._limits.depth)
            if shape is not None and len(shape) > self._limits.attributes:
                text = f"{len(shape)} attributes, {self._limits.attributes} are allowed"
                rejects.append(refusal(index, sent, "too_many_attributes", text))
                continue
            rows.append(reader.row(index, sent, body, own, shape, find(body, arrival_ns)))
        return rows, rejects


class _Reader:
    """Reads the records of one batch."""

    __slots__ = (
        *("finder", "_arrival_ns", "_first_ns", "_given", "_last_ns", "_observed", "_preceding", "_shape", "_usual"),
        *("_zone", "_zone_of"),
    )

    def __init__(self, limits: AttributeLimits, usual: Usual, clock: Clock, arrival_ns: int) -> None:
        self.finder = Finder(limits)
        self._usual, self._zone, self._zone_of, self._arrival_ns = usual, clock.zone, clock.zone_of, arrival_ns
        self._first_ns, self._last_ns = max(arrival_ns - usual.past_ns, 0), arrival_ns + usual.future_ns
        self._preceding: tuple[str, str, int | None] = ("", "", None)
        # `given` of the last record whose sender gave attributes and a time of reading, and nothing else.
        self._shape: dict[str, Any] | None = None
        self._observed: Sent | None = None
        self._given = NOTHING

    def row(self, index: int, sent: SentLog, body: str, own: Flat, shape: Flat, found: LineFacts) -> LogRow:
        """The row of one record; `shape` is an object with the keys of `own` that records share."""
        attributes, time_ns, bits, preceding_ns = found.attributes, found.time_ns, 0, None
        zone = sent.observed_timezone or self._zone or self._zone_of(sent.service)
        if own:
            attributes.update(own)
        if sent.timestamp is not None:
            bits = TIME
            time_ns = event_time(sent.timestamp, self._arrival_ns, self._usual, attributes)
        elif time_ns is not None and found.zone == UTC and self._first_ns <= time_ns <= self._last_ns:
            time_ns -= time_ns % 1000
        else:
            if time_ns is None and sent.preceding_text:
                preceding_ns = self._preceding_ns(sent.preceding_text, zone, sent)
            time_ns = self._time_of(sent, found, zone, preceding_ns)
        if sent.severity_text is None and sent.level is None and sent.severity_number is None:
            number, text = found.severity or UNKNOWN
        else:
            number, text = severity_of(sent, found)
            bits |= SEVERITY if sent.severity_text or sent.level or sent.severity_number else 0
        trace_id, span_id = found.trace_id, found.span_id
        if sent.trace_id:
            trace_id = sent.trace_id.lower()
            bits |= TRACE
        if sent.span_id:
            span_id = sent.span_id.lower()
            bits |= SPAN
        if bits or preceding_ns is not None or shape is not self._shape or sent.observed_timestamp != self._observed:
            given = self._given_by(sent, shape, bits, preceding_ns, attributes)
        else:
            given = self._given
        service, env, host = sent.service or "", sent.env or "", sent.host or ""
        return LogRow(
            index, time_ns, number, text, service, env, host, body, attributes, trace_id, span_id, given, zone
        )

    def _time_of(self, sent: SentLog, found: LineFacts, zone: str, preceding_ns: int | None) -> int:
        """The time of a record whose sender gave none."""
        time_ns = preceding_ns if found.time_ns is None else found.time_ns
        if found.zone != UTC and found.time_ns is not None:
            time_ns = utc_of(found, zone, self._near_ns(sent))
        if time_ns is None:
            return event_time(sent.observed_timestamp, self._arrival_ns, self._usual, found.attributes)
        if self._first_ns <= time_ns <= self._last_ns:
            return time_ns - time_ns % 1000
        return kept(time_ns, time_ns, self._arrival_ns, self._usual, found.attributes)

    def _given_by(
        self,
        sent: SentLog,
        own: Flat,
        bits: int,
        preceding_ns: int | None,
        attributes: dict[str, Any],
    ) -> str:
        raw = sent.timestamp if bits & TIME and FLAG in attributes else None
        given = given_text(bits, own, sent.observed_timestamp, preceding_ns, raw)
        if not bits and preceding_ns is None:
            self._shape, self._observed, self._given = own, sent.observed_timestamp, given
        return given

    def _near_ns(self, sent: SentLog) -> int:
        """When the sender read the text, as far as anybody knows."""
        try:
            return self._arrival_ns if sent.observed_timestamp is None else timestamp_ns(sent.observed_timestamp)
        except (ValueError, OverflowError):
            return self._arrival_ns

    def _preceding_ns(self, text: str, zone: str, sent: SentLog) -> int | None:
        """The time of the text before, whole microseconds."""
        known_text, known_zone, time_ns = self._preceding
        if text != known_text or zone != known_zone:
            found = self.finder.find(text, self._arrival_ns)
            time_ns = utc_of(found, zone, self._near_ns(sent))
            if time_ns is not None:
                time_ns = time_ns - time_ns % 1000 if 0 <= time_ns <= _LAST_NS else None
            self._preceding = (text, zone, time_ns)
        return time_ns


def severity_of(sent: SentLog, found: LineFacts) -> Severity:
    """The sender's number and text, each filling in for the other; else what was found."""
    name = sent.severity_text or sent.level
    if name:
        number, text = named(name)
        return sent.severity_number or number, text
    if sent.severity_number:
        return sent.severity_number, text_of(sent.severity_number)
    return found.severity or UNKNOWN


def log_parser(settings: Settings) -> Parser[SentLog]:
    decoder = TolerantDecoder(Kind.LOGS, SentLog, settings)
    return Parser(Kind.LOGS, decoder, LogRows(settings), payload_limit(settings))
