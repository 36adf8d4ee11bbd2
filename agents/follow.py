"""Follow: one open file -> complete lines after the committed position.

The follower keeps no bytes in memory between reads: it reads an incomplete line again, so the committed position alone
defines which bytes were read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from agents.lines import Limits, LineEncoder, Part, begun_character, whole_characters
from agents.positions import GUARD_BYTES, Position, advanced, guard_of, holds, read_at

CHUNK_BYTES = 256 << 10
CHUNK_LINES = 4000  # bounds a frame: short lines grow most when they become records


@dataclass(frozen=True, slots=True)
class Taken:
    """Result of one read: `parts` of records from `size` raw bytes, and the position after them."""

    parts: list[Part]
    size: int
    position: Position


class Follower:
    """One file, held open so that it is read to its end after a rename or a deletion.

    Attributes:
        position: End of the bytes that are durably read. `commit` moves it.
        listed_s: Last time at which the globs matched the file or a read gave records.
    """

    def __init__(self, fd: int, position: Position, encoder: LineEncoder, limits: Limits, hold_s: float) -> None:
        self.position = position
        self.listed_s = 0.0
        self.was_replaced = False
        self._fd = fd
        self._encoder = encoder
        self._limits = limits
        self._hold_s = hold_s
        self._chunk = max(CHUNK_BYTES, limits.line_bytes)
        self._seen: tuple[int, int] = (-1, -1)  # (generation, size) at the last read without a complete line
        self._held_since_s: float | None = None

    def verify(self) -> None:
        """Call after opening: begin a new generation unless the file still begins with the bytes that were read."""
        if not holds(self._fd, self.position.mark, os.fstat(self._fd).st_size):
            self._replace()

    def take(self, now_s: float, observed_ns: int) -> Taken | None:
        """Complete lines after the position, or None if there are none. Does not move the position."""
        size = os.fstat(self._fd).st_size
        if size < self.position.offset:
            self._replace()
        if size == self.position.offset or self._still_held(size, now_s):
            return None
        data = self._read()
        return self._taken(data, size, now_s, observed_ns) if data else None

    def commit(self, taken: Taken) -> None:
        self.position = msgspec.structs.replace(taken.position, path=self.position.path)
        self._held_since_s = None

    def at_end(self) -> bool:
        """True if the whole file is read."""
        return os.fstat(self._fd).st_size == self.position.offset

    def deleted(self) -> bool:
        return os.fstat(self._fd).st_nlink == 0

    def behind_bytes(self) -> int:
        return max(0, os.fstat(self._fd).st_size - self.position.offset)

    def close(self) -> None:
        os.close(self._fd)

    def _replace(self) -> None:
        self.position = self.position.replaced()
        self.was_replaced = True
        self._held_since_s = None

    def _still_held(self, size: int, now_s: float) -> bool:
        unchanged = self._seen == (self.position.generation, size)
        return unchanged and self._held_since_s is not None and now_s - self._held_since_s < self._hold_s

    def _read(self) -> bytes:
        """Bytes after the position. If the bytes before it differ from those read, begin a new generation first."""
        for _ in range(2):
            offset = self.position.offset
            guard = min(GUARD_BYTES, offset)
            data = read_at(self._fd, guard + self._chunk, offset - guard)
            if not offset or (len(data) >= guard and guard_of(data[:guard]) == self.position.mark.guard):
                return data[guard:]
            self._replace()
        return b""

    def _taken(self, data: bytes, size: int, now_s: float, observed_ns: int) -> Taken | None:
        end = data.rfind(b"\n")
        if end >= 0:
            end = _end_of_lines(data, end)
            packed = self._encoder.pack(data[:end], observed_ns, self.position.part)
            return Taken(packed, end + 1, self._after(data[: end + 1], 0))
        if len(data) >= self._limits.line_bytes:
            return self._piece(data[: whole_characters(data, self._limits.line_bytes)], observed_ns, "split")
        if self._held_since_s is None:
            self._held_since_s = now_s
        self._seen = (self.position.generation, size)
        if now_s - self._held_since_s < self._hold_s:
            return None
        return self._piece(data[: begun_character(data) or None], observed_ns, "partial")

    def _piece(self, data: bytes, observed_ns: int, flag: str) -> Taken:
        packed = self._encoder.piece(data, observed_ns, self.position.part, flag)
        part = self.position.part + sum(part.count for part in packed)
        return Taken(packed, len(data), self._after(data, part))

    def _after(self, consumed: bytes, part: int) -> Position:
        mark = self.position.mark
        if len(consumed) < GUARD_BYTES and mark.offset:
            before = min(GUARD_BYTES, mark.offset)
            guard = guard_of(read_at(self._fd, before, mark.offset - before) + consumed)
        else:
            guard = guard_of(consumed)
        return msgspec.structs.replace(
            self.position, mark=advanced(self._fd, mark, len(consumed), guard), part=part, before=self.position.before
        )


def _end_of_lines(data: bytes, end: int) -> int:
    """The newline that ends the last line of the chunk, or of its first 4000 lines."""
    if data.count(b"\n", 0, end) < CHUNK_LINES:
        return end
    rest = data.split(b"\n", CHUNK_LINES)[-1]
    return len(data) - len(rest) - 1
