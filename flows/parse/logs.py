"""Logs: decoded records -> rows, with what their lines say of themselves.

What the sender says wins over what stands in the text: severity, timestamp, trace ids, attributes of the same name.
The body stays the line as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.batches import Reject
from contracts.messages import BatchHeader, Kind
from contracts.records import LogRow, Row, SentLog
from contracts.settings import Settings
from flows.parse.attributes import flatten, is_flat
from flows.parse.batch import Parsed, Parser, payload_limit, refusal
from flows.parse.event_time import event_time, kept
from flows.parse.line import AttributeLimits, Finder, LineFacts
from flows.parse.tolerant import TolerantDecoder
from text.levels import UNKNOWN, Severity, named, text_of, valued

SECOND_NS = 1_000_000_000


class LogRows:
    """Records of one batch -> rows."""

    def __init__(self, settings: Settings) -> None:
        self._limits = AttributeLimits(settings.ingest_attributes, settings.ingest_depth)
        self._future_ns = int(settings.future_limit_s * SECOND_NS)

    def __call__(self, header: BatchHeader, indices: Sequence[int], records: Sequence[SentLog]) -> Parsed:
        find, arrival_ns = Finder(self._limits).find, header.received_ns
        rows: list[Row] = []
        rejects: list[Reject] = []
        usual: dict[str, Any] | None = None  # attributes that need no second look: records of one file share them
        for index, sent in zip(indices, records, strict=True):
            body = sent.body if sent.body is not None else sent.message
            if body is None:
                rejects.append(refusal(index, sent, "missing_body", "record has neither body nor message"))
                continue
            own = sent.attributes
            if own and own != usual:
                own = usual = own if is_flat(own) else flatten(own, self._limits.depth)
                if len(own) > self._limits.attributes:
                    text = f"{len(own)} attributes, {self._limits.attributes} are allowed"
                    rejects.append(refusal(index, sent, "too_many_attributes", text))
                    usual = None
                    continue
            rows.append(self._row(index, sent, body, own or {}, find(body, arrival_ns), arrival_ns))
        return rows, rejects

    def _row(
        self, index: int, sent: SentLog, body: str, own: dict[str, Any], found: LineFacts, arrival_ns: int
    ) -> LogRow:
        attributes = found.attributes
        if own:
            attributes.update(own)
        time_ns = found.time_ns
        if sent.timestamp is not None:
            time_ns = event_time(sent.timestamp, arrival_ns, self._future_ns, attributes)
        elif time_ns is None:
            time_ns = event_time(sent.observed_timestamp, arrival_ns, self._future_ns, attributes)
        elif 0 <= time_ns <= arrival_ns + self._future_ns:
            time_ns -= time_ns % 1000
        else:
            time_ns = kept(time_ns, time_ns, arrival_ns, self._future_ns, attributes)
        if sent.severity_text is None and sent.level is None and sent.severity_number is None:
            number, text = found.severity or UNKNOWN
        else:
            number, text = severity_of(sent, found)
        return LogRow(
            index,
            time_ns,
            number,
            text,
            sent.service or "",
            sent.env or "",
            sent.host or "",
            body,
            attributes,
            sent.trace_id.lower() if sent.trace_id else found.trace_id,
            sent.span_id.lower() if sent.span_id else found.span_id,
        )


def severity_of(sent: SentLog, found: LineFacts) -> Severity:
    """The sender's number and text, each filling in for the other; else what was found."""
    name = sent.severity_text or sent.level
    if name:
        number, text = (valued(int(name)) if name.isascii() and name.isdigit() else None) or named(name)
        return sent.severity_number or number, text
    if sent.severity_number:
        return sent.severity_number, text_of(sent.severity_number)
    return found.severity or UNKNOWN


def log_parser(settings: Settings) -> Parser[SentLog]:
    decoder = TolerantDecoder(Kind.LOGS, SentLog, settings)
    return Parser(Kind.LOGS, decoder, LogRows(settings), payload_limit(settings))
