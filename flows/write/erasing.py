"""Erasing: parsed batches -> batches without the records of subjects that were erased, whatever is replayed.

The step costs a look at the clock per batch. Only batches that arrived before an erasure of their tenant are tested
record by record. While the erasures cannot be read, nothing passes.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence

from contracts.batches import Batch, Reject
from contracts.messages import ERASED, Kind
from contracts.records import DeadLetterRow, Row
from flows.arrivals import Item, Lost
from flows.parse.batch import refusal
from flows.patience import patiently
from lakehouse.lake.erasure_requests import Tombstones
from lakehouse.lake.erasure_tests import Tests

STAGE = "erase"
UNCLEAR = "unclear_erasure"

log = logging.getLogger("headwater.flows")


class Erasing:
    """A step of the graph, before the dead letters are written and any sink sees the batch."""

    def __init__(
        self,
        tombstones: Callable[[], Tombstones],
        stop: threading.Event,
        following: Callable[[Item], Sequence[Item]],
    ) -> None:
        self._tombstones, self._stop, self._following = tombstones, stop, following
        self._halted: set[int] = set()

    def __call__(self, item: Item) -> Sequence[Item]:
        if item.partition in self._halted:
            return []
        if isinstance(item, Lost) or not (item.rows or item.rejects):
            return self._following(item)
        found: list[Tests] = []

        def look() -> None:
            found[:] = self._tombstones().of(item.header.tenant, earliest_ns(item))

        if not patiently("looking for erasures", look, self._stop):
            self._halted.add(item.partition)  # a later batch must not move a checkpoint past this one
            return []
        return self._following(without(item, found) if found else item)


def earliest_ns(batch: Batch) -> int:
    """When the first record of the batch was received; a dead letter keeps the time at which its record arrived."""
    if batch.kind is not Kind.DEAD_LETTERS:
        return batch.header.received_ns
    return min((row.timestamp_ns for row in batch.rows), default=batch.header.received_ns)


def without(batch: Batch, erased: Sequence[Tests]) -> Batch:
    """The batch without what belongs to any of the subjects, and with a count of it."""
    try:
        gone, unclear = erased_lines(batch, erased), list[Reject]()
    except Exception:  # nothing in a record may end the flow: find the culprit, and let the others pass
        gone, unclear = _record_by_record(batch, erased)
    if not gone and not unclear:
        return batch
    not_here = gone | {reject.index for reject in unclear}
    kept = [reject for reject in batch.rejects if reject.index not in gone]
    return dataclasses.replace(
        batch,
        rows=[row for row in batch.rows if row.index not in not_here],
        rejects=sorted([*kept, *unclear], key=lambda reject: reject.index),
        dropped={**batch.dropped, ERASED: batch.dropped.get(ERASED, 0) + len(gone)} if gone else batch.dropped,
    )


def _record_by_record(batch: Batch, erased: Sequence[Tests]) -> tuple[set[int], list[Reject]]:
    """Lines that were erased, and a reject for each row that cannot be tested. A dead letter stays one."""
    gone, unclear = set[int](), list[Reject]()
    for record in (*batch.rows, *batch.rejects):
        try:
            if any(_is_erased(batch, record, tests) for tests in erased if tests.subject.tenant == batch.header.tenant):
                gone.add(record.index)
        except Exception as error:  # the culprit: it becomes a value
            text = f"{type(error).__name__}: {error}"[:500]
            log.warning("cannot tell whether %s %d/%d line %d was erased: %s", *_place(batch, record), text)
            if not isinstance(record, Reject | DeadLetterRow):
                unclear.append(dataclasses.replace(refusal(record.index, record, UNCLEAR, text), stage=STAGE))
    return gone, unclear


def _place(batch: Batch, record: Row | Reject) -> tuple[str, int, int, int]:
    return batch.kind.value, batch.partition, batch.offset, record.index


def erased_lines(batch: Batch, erased: Sequence[Tests]) -> set[int]:
    """Lines of the message with records of the subjects."""
    gone: set[int] = set()
    for tests in erased:
        if tests.subject.tenant == batch.header.tenant:
            gone.update(row.index for row in batch.rows if _is_erased(batch, row, tests))
            gone.update(reject.index for reject in batch.rejects if _is_erased(batch, reject, tests))
    return gone


def _is_erased(batch: Batch, record: Row | Reject, tests: Tests) -> bool:
    if isinstance(record, DeadLetterRow):
        early = record.timestamp_ns < tests.subject.before_ns
        return early and tests.letter(record.source_kind, record.source_producer, record.payload)
    if batch.header.received_ns >= tests.subject.before_ns:
        return False
    if isinstance(record, Reject):
        return tests.letter(batch.kind.value, batch.header.producer, record.payload)
    test = tests.rows.get(batch.kind)
    return test is not None and test(record, batch.header)
