"""Outbox: frames read from the buffer -> batches within the limits of a request."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agents.frames import Frame


@dataclass(frozen=True, slots=True)
class Batch:
    """Records with contiguous sequence numbers: one request. `payload` is NDJSON, buffered at `written_s` (epoch)."""

    epoch: int
    sequence: int
    count: int
    payload: bytes
    written_s: float = 0.0

    @property
    def begin(self) -> tuple[int, int]:
        return self.epoch, self.sequence

    @property
    def end(self) -> tuple[int, int]:
        return self.epoch, self.sequence + self.count

    def slice(self, begin: int, end: int) -> Batch:
        lines = self.payload.split(b"\n")[begin:end]
        return Batch(self.epoch, self.sequence + begin, end - begin, b"\n".join(lines) + b"\n", self.written_s)

    def head(self, max_records: int, max_bytes: int) -> Batch:
        """The first records up to the limits, at least one."""
        count = size = 0
        for line in self.payload.splitlines(keepends=True):
            if count and (count >= max_records or size + len(line) > max_bytes):
                break
            count, size = count + 1, size + len(line)
        return self.slice(0, count)


class Outbox:
    """Parts in order of sequence, from the first that is not acknowledged on."""

    def __init__(self) -> None:
        self._parts: deque[Batch] = deque()
        self._records = 0
        self._bytes = 0

    def holds(self, records: int, size: int) -> bool:
        """True if the outbox has enough for a full request."""
        return self._records >= records or self._bytes >= size

    def oldest_s(self) -> float | None:
        return self._parts[0].written_s if self._parts else None

    def put(self, frame: Frame, acked: tuple[int, int]) -> None:
        """Add the records of `frame` at or after `acked`."""
        for sequence, part in frame.parts():
            batch = Batch(frame.note.epoch, sequence, part.count, part.payload, frame.note.written_s)
            if batch.end <= acked:
                continue
            self._add(batch if batch.begin >= acked else batch.slice(acked[1] - sequence, part.count))

    def batch(self, max_records: int, max_bytes: int) -> Batch | None:
        """The first records up to the limits, at least one, without a gap or a change of epoch; None if empty."""
        chosen: list[Batch] = []
        count = size = 0
        for part in self._parts:
            count, size = count + part.count, size + len(part.payload)
            if count > max_records or size > max_bytes or (chosen and part.begin != chosen[-1].end):
                break
            chosen.append(part)
        if not chosen:
            return self._parts[0].head(max_records, max_bytes) if self._parts else None
        first, payload = chosen[0], b"".join(part.payload for part in chosen)
        return Batch(first.epoch, first.sequence, sum(part.count for part in chosen), payload, first.written_s)

    def drop(self, end: tuple[int, int]) -> int:
        """Remove all records before `end`; return their number."""
        dropped = 0
        while self._parts and self._parts[0].begin < end:
            part = self._parts.popleft()
            self._records -= part.count
            self._bytes -= len(part.payload)
            dropped += part.count
            if part.end > end:
                rest = part.slice(end[1] - part.sequence, part.count)
                self._parts.appendleft(rest)
                self._records += rest.count
                self._bytes += len(rest.payload)
                dropped -= rest.count
        return dropped

    def _add(self, batch: Batch) -> None:
        self._parts.append(batch)
        self._records += batch.count
        self._bytes += len(batch.payload)
