"""Repeats: batch headers of one bus partition, in order -> how many leading lines of each were seen before.

Pure, and decided by headers alone. All batches of a producer stand in one partition in the order in which the service
took them, so one number per stream is enough: the next expected sequence. The state as of an offset is rebuilt by
reading the headers before it, and so cannot disagree with a sink.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.messages import BatchHeader

HOUR_NS = 3_600_000_000_000
ONE_BATCH = ("key:", "req:")  # producers that stand for one request: idempotency keys and request ids
FOREIGN = "bus:"

Stream = tuple[str, str, int, str]  # tenant, producer, epoch, stream


def lines_seen(header: BatchHeader, next_sequence: int | None) -> int:
    """The decision: how many leading lines of a batch were seen, when `next_sequence` is the next one expected.

    None: nothing of this stream was seen. 0 is a new batch, `header.span` a repeat in whole.
    """
    if next_sequence is None:
        return 0
    return min(max(next_sequence - header.sequence, 0), header.span)


@dataclass(slots=True)
class Repeats:
    """What one partition remembers. Both memories run by the clock of the messages, so a replay decides the same.

    Attributes:
        stream_h: Hours after its last batch that a stream is forgotten; as long as the bus remembers.
        key_h, keys: How long, and how many, requests are remembered; the oldest go first.
        gaps: Batches that began past the expected sequence; they are taken.
    """

    stream_h: float
    key_h: float
    keys: int
    gaps: int = 0
    _streams: dict[Stream, tuple[int, int]] = field(default_factory=dict)  # next sequence, received_ns; oldest first
    _requests: dict[Stream, tuple[int, int]] = field(default_factory=dict)

    def skip(self, header: BatchHeader) -> int:
        """Take `header` into account; the number of leading lines that are repeats (`header.span`: all of them)."""
        if header.producer.startswith(FOREIGN):
            return 0
        stream = (header.tenant, header.producer, header.epoch, header.stream)
        if header.producer.startswith(ONE_BATCH):
            return self._skip_request(stream, header)
        self._forget(self._streams, header.received_ns - int(self.stream_h * HOUR_NS))
        known = self._streams.pop(stream, None)
        end = header.sequence + header.span
        if known is None:
            self._streams[stream] = (end, header.received_ns)
            return lines_seen(header, None)
        self.gaps += header.sequence > known[0]
        self._streams[stream] = (max(end, known[0]), header.received_ns)
        return lines_seen(header, known[0])

    def _skip_request(self, stream: Stream, header: BatchHeader) -> int:
        self._forget(self._requests, header.received_ns - int(self.key_h * HOUR_NS))
        known = self._requests.get(stream)
        if known is None:
            self._requests[stream] = (header.sequence + header.span, header.received_ns)
            while len(self._requests) > self.keys:
                del self._requests[next(iter(self._requests))]
            return lines_seen(header, None)
        # A key stands for its whole request, even where a client sent more lines under it the second time.
        return lines_seen(header, header.sequence + header.span)

    @staticmethod
    def _forget(memory: dict[Stream, tuple[int, int]], before_ns: int) -> None:
        while memory:
            oldest = next(iter(memory))
            if memory[oldest][1] >= before_ns:
                return
            del memory[oldest]
