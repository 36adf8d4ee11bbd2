"""Parsing: arrivals -> batches, guarded: what a parser cannot take is a reject, and the rest of its batch flows on.

A parser turns the decoded records of one message into rows, all at once. When it fails, it is asked again record by
record, and the culprits go to the dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from contracts.batches import Batch, Reject
from contracts.messages import ERASED, BatchHeader, Kind
from contracts.records import Row
from contracts.settings import MIB, Settings
from flows.arrivals import Arrival, Item
from flows.parse.decode import Decoded, Decoder, decode, plain, whole

R = TypeVar("R")

Parsed = tuple[list[Row], list[Reject]]
Rows = Callable[[BatchHeader, Sequence[int], Sequence[R]], Parsed]
Parse = Callable[[Arrival | Item], Item]

STAGE = "parse"
IN_ONE_LETTER = "in_one_dead_letter"  # kept there, in a message that could not be taken apart


@dataclass(frozen=True, slots=True)
class Parser(Generic[R]):
    """One kind's parser: how its lines are decoded, and how its records become rows."""

    kind: Kind
    decoder: Decoder[R]
    rows: Rows[R]
    max_bytes: int

    def __call__(self, item: Arrival | Item) -> Item:
        """Parse an arrival; ticks and lost ranges pass."""
        if not isinstance(item, Arrival):
            return item
        try:
            return self._parsed(item)
        except Exception as error:  # nothing in a message may end the flow
            return self._unusable(item, error)

    def _parsed(self, item: Arrival) -> Batch:
        decoded = decode(item, self.decoder, self.max_bytes)
        return self._batch(item, decoded, *self._guarded(item, decoded))

    def _unusable(self, item: Arrival, error: Exception) -> Batch:
        text = f"{type(error).__name__}: {error}"[:500]
        return self._batch(item, whole(item.message.payload, "unusable", text, item.header.count), [], [])

    def _batch(self, item: Arrival, decoded: Decoded[R], rows: list[Row], rejects: list[Reject]) -> Batch:
        return Batch(
            header=item.header,
            partition=item.partition,
            offset=item.message.offset,
            rows=rows,
            rejects=sorted([*decoded.rejects, *self._with_bytes(item, rejects)], key=lambda reject: reject.index),
            received=decoded.received,
            duplicates=decoded.duplicates,
            dropped=_dropped(decoded),
        )

    def _with_bytes(self, item: Arrival, rejects: list[Reject]) -> list[Reject]:
        """A record that cannot be written again is kept as the line that it was read from."""
        if all(reject.payload for reject in rejects):
            return rejects
        lines = plain(item, self.max_bytes).split(b"\n")
        return [reject if reject.payload else replace(reject, payload=lines[reject.index]) for reject in rejects]

    def _guarded(self, item: Arrival, decoded: Decoded[R]) -> Parsed:
        try:
            return self.rows(item.header, decoded.indices, decoded.records)
        except Exception:  # whatever it is, the others must pass: find the culprit below
            rows: list[Row] = []
            rejects: list[Reject] = []
            for index, record in zip(decoded.indices, decoded.records, strict=True):
                row, reject = self._alone(item.header, index, record)
                rows += row
                rejects += reject
            return rows, rejects

    def _alone(self, header: BatchHeader, index: int, record: R) -> Parsed:
        try:
            return self.rows(header, [index], [record])
        except Exception as error:  # the culprit: it becomes a value
            return [], [refusal(index, record, "unusable", f"{type(error).__name__}: {error}"[:500])]


def _dropped(decoded: Decoded[Any]) -> dict[str, int]:
    counts = {IN_ONE_LETTER: decoded.in_one_letter, ERASED: decoded.erased}
    return {reason: count for reason, count in counts.items() if count}


def refusal(index: int, record: object, reason: str, message: str) -> Reject:
    """A reject for a record that was decoded: its bytes are written again; no bytes when they cannot be."""
    try:
        payload = msgspec.json.encode(record)
    except Exception:  # nested too deep for the stack that is left, or no JSON
        payload = b""
    return Reject(index, payload, reason, message, STAGE)


def payload_limit(settings: Settings) -> int:
    """Most bytes of a payload when decompressed."""
    return settings.ingest_body_mib * MIB
