"""Events: decoded events -> rows."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.batches import Reject
from contracts.messages import BatchHeader, Kind
from contracts.records import EventRow, Row, SentEvent
from contracts.settings import Settings
from flows.parse.attributes import own_attributes
from flows.parse.batch import Parsed, Parser, payload_limit, refusal
from flows.parse.event_time import event_time, usual_times
from flows.parse.tolerant import TolerantDecoder


class EventRows:
    """Events of one batch -> rows."""

    def __init__(self, settings: Settings) -> None:
        self._limit, self._depth = settings.ingest_attributes, settings.ingest_depth
        self._usual = usual_times(settings)

    def __call__(self, header: BatchHeader, indices: Sequence[int], records: Sequence[SentEvent]) -> Parsed:
        rows: list[Row] = []
        rejects: list[Reject] = []
        for index, sent in zip(indices, records, strict=True):
            attributes = own_attributes(sent.attributes, self._depth)
            if len(attributes) > self._limit:
                text = f"{len(attributes)} attributes, {self._limit} are allowed"
                rejects.append(refusal(index, sent, "too_many_attributes", text))
                continue
            time_ns = event_time(sent.timestamp, header.received_ns, self._usual, attributes)
            service, env, host = sent.service or "", sent.env or "", sent.host or ""
            rows.append(EventRow(index, time_ns, sent.name, sent.body or "", service, env, host, attributes))
        return rows, rejects


def event_parser(settings: Settings) -> Parser[SentEvent]:
    return Parser(
        Kind.EVENTS, TolerantDecoder(Kind.EVENTS, SentEvent, settings), EventRows(settings), payload_limit(settings)
    )
