"""Metrics: decoded points -> rows."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from contracts.batches import Reject
from contracts.messages import BatchHeader, Kind
from contracts.records import MetricRow, Row, SentMetric
from contracts.settings import Settings
from flows.parse.attributes import own_attributes
from flows.parse.batch import Parsed, Parser, payload_limit, refusal
from flows.parse.event_time import event_time, usual_times


class MetricRows:
    """Points of one batch -> rows."""

    def __init__(self, settings: Settings) -> None:
        self._limit, self._depth = settings.ingest_attributes, settings.ingest_depth
        self._usual = replace(usual_times(settings), past_ns=sys.maxsize)  # a flag would be a label of the series

    def __call__(self, header: BatchHeader, indices: Sequence[int], records: Sequence[SentMetric]) -> Parsed:
        rows: list[Row] = []
        rejects: list[Reject] = []
        for index, sent in zip(indices, records, strict=True):
            attributes = own_attributes(sent.attributes, self._depth)
            if len(attributes) > self._limit:
                text = f"{len(attributes)} attributes, {self._limit} are allowed"
                rejects.append(refusal(index, sent, "too_many_attributes", text))
            elif not math.isfinite(sent.value):
                rejects.append(refusal(index, sent, "invalid_record", "value is not finite"))
            else:
                time_ns = event_time(sent.timestamp, header.received_ns, self._usual, attributes)
                rows.append(
                    MetricRow(
                        index,
                        time_ns,
                        sent.name,
                        sent.value,
                        sent.unit or "",
                        sent.kind,
                        sent.service or "",
                        sent.env or "",
                        sent.host or "",
                        attributes,
                    )
                )
        return rows, rejects


def metric_parser(settings: Settings) -> Parser[SentMetric]:
    return Parser(Kind.METRICS, msgspec.json.Decoder(SentMetric), MetricRows(settings), payload_limit(settings))
