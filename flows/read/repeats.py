"""Repeats: batch headers of one bus partition, in order -> which lines of each are new.

Pure, and decided by headers alone. All batches of a producer stand in one partition in the order in which the service
took them, so a stream is remembered by its next expected sequence and by the holes before it, which a producer with
several requests in flight may fill later. The state as of an offset is rebuilt by reading the headers before it, and so
cannot disagree with a sink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.messages import BatchHeader

HOUR_NS = 3_600_000_000_000
ONE_BATCH = ("key:", "req:")  # producers that stand for one request: idempotency keys and request ids
FOREIGN = "bus:"
HOLES = 64  # remembered of a stream; what would fill an older one is taken for a repeat

Stream = tuple[str, str, int, str]  # tenant, producer, epoch, stream


Lines = tuple[range, ...]  # of a batch, by their place in it, ascending


def fresh_lines(header: BatchHeader, next_sequence: int, holes: Sequence[tuple[int, int]]) -> Lines:
    """The decision: which lines of a batch are new, when everything before `next_sequence` but `holes` was seen."""
    start, end = header.sequence, header.sequence + header.span
    parts = [(max(low, start), min(high, end)) for low, high in (*holes, (next_sequence, end))]
    return tuple(range(low - start, high - start) for low, high in parts if low < high)


@dataclass(slots=True)
class Seen:
    """What is known of one stream: everything before `next_sequence` was seen, except `holes` (start, end)."""

    next_sequence: int
    stamp_ns: int
    holes: list[tuple[int, int]]

    def take(self, header: BatchHeader) -> Lines:
        """Mark the lines of `header` as seen; which of them are new."""
        start, end = header.sequence, header.sequence + header.span
        fresh = fresh_lines(header, self.next_sequence, self.holes)
        if start > self.next_sequence:
            self.holes.append((self.next_sequence, start))
            del self.holes[:-HOLES]
        elif start < self.next_sequence and self.holes:
            self.holes = [part for hole in self.holes for part in _without(hole, start, end)]
        self.next_sequence = max(self.next_sequence, end)
        return fresh


def _without(hole: tuple[int, int], start: int, end: int) -> list[tuple[int, int]]:
    """What is left of `hole` when `start` to `end` is filled."""
    low, high = hole
    return [(a, b) for a, b in ((low, min(high, start)), (max(low, end), high)) if a < b]


@dataclass(slots=True)
class Repeats:
    """What one partition remembers. Both memories run by the clock of the messages, so a replay decides the same; when
    that clock is set back, they wait for it.

    Attributes:
        stream_h: Hours after its last batch that a stream is forgotten; as long as the bus remembers.
        key_h, keys: How long, and how many, requests are remembered; the oldest go first.
        gaps: Batches that began past the expected sequence; they are taken.
    """

    stream_h: float
    key_h: float
    keys: int
    gaps: int = 0
    _now_ns: int = 0  # the latest arrival
    _streams: dict[Stream, Seen] = field(default_factory=dict)  # oldest first
    _requests: dict[Stream, Seen] = field(default_factory=dict)

    def fresh(self, header: BatchHeader) -> Lines:
        """Take `header` into account; the lines of its batch that are new (none: it is a repeat in whole)."""
        everything = (range(header.span),)
        if header.producer.startswith(FOREIGN):
            return everything
        self._now_ns = max(self._now_ns, header.received_ns)
        stream = (header.tenant, header.producer, header.epoch, header.stream)
        if header.producer.startswith(ONE_BATCH):
            return everything if self._is_new_request(stream, header) else ()
        self._forget(self._streams, self.stream_h)
        known = self._streams.pop(stream, None)
        if known is None:
            known = Seen(header.sequence, self._now_ns, [(0, header.sequence)] if header.sequence else [])
        else:
            self.gaps += header.sequence > known.next_sequence
        known.stamp_ns = self._now_ns
        self._streams[stream] = known
        return known.take(header)

    def _is_new_request(self, stream: Stream, header: BatchHeader) -> bool:
        """A key stands for its whole request, even where a client sent more lines under it the second time."""
        self._forget(self._requests, self.key_h)
        if stream in self._requests:
            return bool(fresh_lines(header, header.sequence + header.span, ()))
        self._requests[stream] = Seen(header.sequence + header.span, self._now_ns, [])
        while len(self._requests) > self.keys:
            del self._requests[next(iter(self._requests))]
        return True

    def _forget(self, memory: dict[Stream, Seen], hours: float) -> None:
        before_ns = self._now_ns - int(hours * HOUR_NS)
        while memory:
            oldest = next(iter(memory))
            if memory[oldest].stamp_ns >= before_ns:
                return
            del memory[oldest]
