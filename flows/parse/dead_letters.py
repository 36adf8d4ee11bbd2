"""Dead letters: letters -> rows. What cannot be read is a dead letter as it stands, never a reject."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from contracts.batches import Batch, Reject
from contracts.messages import BatchHeader, Kind
from contracts.records import DeadLetterRow, SentDeadLetter
from contracts.settings import Settings
from flows.arrivals import MAX_LONG, Arrival, Item
from flows.parse.batch import Parsed, Parser, payload_limit

_MAX_INT = (1 << 31) - 1


def letter_rows(_header: BatchHeader, indices: Sequence[int], records: Sequence[SentDeadLetter]) -> Parsed:
    return [_row(index, sent) for index, sent in zip(indices, records, strict=True)], []


def _row(index: int, sent: SentDeadLetter) -> DeadLetterRow:
    long = (sent.bus_offset, sent.epoch, sent.sequence, sent.arrived_ns)
    if not all(0 <= value <= MAX_LONG for value in long):
        raise ValueError("a number of the letter is out of range")
    if not all(0 <= value <= _MAX_INT for value in (sent.bus_partition, sent.bus_index)):
        raise ValueError("a number of the letter is out of range")
    return DeadLetterRow(
        index=index,
        timestamp_ns=sent.arrived_ns - sent.arrived_ns % 1000,
        payload=sent.payload,
        reason=sent.reason,
        message=sent.message,
        stage=sent.stage,
        source_kind=sent.kind,
        source_partition=sent.bus_partition,
        source_offset=sent.bus_offset,
        source_index=sent.bus_index,
        source_producer=sent.producer,
        source_epoch=sent.epoch,
        source_stream=sent.stream,
        source_sequence=sent.sequence,
    )


class DeadLetterParser:
    """Rejects become rows of their own."""

    def __init__(self, settings: Settings) -> None:
        decoder = msgspec.json.Decoder(SentDeadLetter)
        self._parser = Parser(Kind.DEAD_LETTERS, decoder, letter_rows, payload_limit(settings))

    def __call__(self, item: Arrival | Item) -> Item:
        parsed = self._parser(item)
        if not isinstance(parsed, Batch) or not parsed.rejects:
            return parsed
        unread = [_unread(parsed, reject) for reject in parsed.rejects]
        rows = sorted([*parsed.rows, *unread], key=lambda row: row.index)
        return dataclasses.replace(parsed, rows=rows, rejects=())


def _unread(batch: Batch, reject: Reject) -> DeadLetterRow:
    header = batch.header
    return DeadLetterRow(
        index=reject.index,
        timestamp_ns=header.received_ns - header.received_ns % 1000,
        payload=reject.payload,
        reason=reject.reason,
        message=reject.message,
        stage=reject.stage,
        source_kind=Kind.DEAD_LETTERS.value,
        source_partition=batch.partition,
        source_offset=batch.offset,
        source_index=reject.index,
        source_producer=header.producer,
        source_epoch=header.epoch,
        source_stream=header.stream,
        source_sequence=header.sequence + reject.index,
    )
