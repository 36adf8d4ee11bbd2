"""Follow: one open file -> complete lines after the committed position.

The follower keeps no bytes in memory between reads: it reads an incomplete line or record again, so the committed
position alone defines which bytes were read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from agents.between import piece_between
from agents.encodings import AUTO, UTF8, Encoding, encoding_of
from agents.holes import HOLE, data_after
from agents.joining import EACH_LINE, Joined, Joining
from agents.lines import Limits, LineEncoder, Part
from agents.multiline import join
from agents.positions import GUARD_BYTES, Position, advanced, guard_of, holds
from agents.sources import Source

CHUNK_BYTES = 256 << 10
CHUNK_LINES = 4000  # bounds a frame: short lines grow most when they become records
BOM_BYTES = 4
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Taken:
    """Result of one read: `parts` of records from `size` raw bytes, and the position after them.

    `nul_bytes`: bytes of a hole, skipped; part of `size`.
    """

    parts: list[Part]
    size: int
    position: Position
    nul_bytes: int = 0


class _Held:
    """Since when something waits: an unfinished line, or a record that may go on. A new object at each commit."""

    def __init__(self) -> None:
        self._line_s: float | None = None
        self._record_s: float | None = None
        self._seen = (-1, -1)
        self._until_s = -math.inf

    def line_s(self, now_s: float) -> float:
        """Seconds since the first call."""
        self._line_s = now_s if self._line_s is None else self._line_s
        return now_s - self._line_s

    def record_s(self, now_s: float) -> float:
        """Seconds since the first call."""
        self._record_s = now_s if self._record_s is None else self._record_s
        return now_s - self._record_s

    def hold(self, generation: int, size: int, until_s: float) -> None:
        self._seen, self._until_s = (generation, size), until_s

    def until(self, generation: int, size: int) -> float:
        """Time before which there is nothing new in a file of `size` bytes."""
        return self._until_s if self._seen == (generation, size) else -math.inf


class Follower:
    """One file, held open so that it is read to its end after a rename or a deletion.

    Attributes:
        position: End of the bytes that are durably read. `commit` moves it.
        source: Where the bytes come from.
        listed_s: Last time at which the globs matched the file or a read gave records.
        judged: False until the agent has decided that the bytes at the start are no copy of bytes that it read.
    """

    def __init__(
        self,
        source: Source,
        position: Position,
        encoder: LineEncoder,
        limits: Limits,
        hold_s: float,
        how: Joining = EACH_LINE,
        encoding: str = AUTO,
    ) -> None:
        self.position = position
        self.listed_s = 0.0
        self.was_replaced = False
        self.judged = position.offset > 0
        self.source = source
        self._encoder = encoder
        self._limits = limits
        self._hold_s = hold_s
        self._how = how
        self._encoding_name = encoding
        self._encoding: Encoding | None = None  # of this generation; None until its first bytes are seen
        self._chunk = max(CHUNK_BYTES, limits.line_bytes)
        self._held = _Held()
        self._nul_tail = (-1, -1, -1)  # (generation, size, time of change) of a file that ends with NULs

    def verify(self) -> None:
        """Call after opening: begin a new generation unless the file still begins with the bytes that were read."""
        if not holds(self.source, self.position.mark):
            self._replace()

    def take(self, now_s: float, observed_ns: int) -> Taken | None:
        """Complete records after the position, or None if there are none. Does not move the position."""
        status, size = self.source.status(), self.source.size()
        if size < self.position.offset:
            self._replace()
            return None
        if size == self.position.offset or self._held.until(self.position.generation, size) > now_s:
            return None
        if self._nul_tail == (self.position.generation, size, status.st_mtime_ns):
            return None
        data = self._read()
        self._look_at(data)
        if b"\0" in data and HOLE in data:
            return self._around_hole(data, size, status.st_mtime_ns, now_s, observed_ns)
        return self._taken(data, size, now_s, observed_ns) if data else None

    def commit(self, taken: Taken) -> None:
        self.position = msgspec.structs.replace(taken.position, path=self.position.path)
        self._held = _Held()

    def at_end(self) -> bool:
        """True if the whole file is read, but for NULs at its end."""
        size = self.source.size()
        return size == self.position.offset or self._nul_tail[:2] == (self.position.generation, size)

    def behind_bytes(self) -> int:
        return max(0, self.source.size() - self.position.offset)

    def close(self) -> None:
        self.source.close()

    def _replace(self) -> None:
        self.position = self.position.replaced(self.source.status().st_ctime_ns)
        self.was_replaced = True
        self.judged = False
        self._encoding = None
        self._held = _Held()

    def _read(self) -> bytes:
        """Bytes after the position; none, and a new generation, if the bytes before it differ from those read."""
        offset = self.position.offset
        guard = min(GUARD_BYTES, offset)
        data = self.source.read_at(guard + self._chunk, offset - guard)
        if not offset or (len(data) >= guard and guard_of(data[:guard]) == self.position.mark.guard):
            return data[guard:]
        self._replace()
        return b""

    def _look_at(self, data: bytes) -> None:
        """Find the encoding by the first bytes of the file. `data`: the bytes at the position."""
        if self._encoding is None or not self.position.offset:
            begin = self.source.read_at(BOM_BYTES, 0) if self.position.offset else data[:BOM_BYTES]
            self._encoding = encoding_of(self._encoding_name, begin)

    @property
    def encoding(self) -> Encoding:
        return self._encoding or UTF8

    def _around_hole(
        self, data: bytes, file_bytes: int, changed_ns: int, now_s: float, observed_ns: int
    ) -> Taken | None:
        """The lines before the NULs of a hole, or a position after them; NULs at the end of the file are no hole."""
        unit = len(self.encoding.newline)
        begin = -(-data.index(HOLE) // unit) * unit
        after = data_after(self.source, self.position.offset + begin)
        if after is None:
            if begin:
                return self._taken(data[:begin], file_bytes, now_s, observed_ns)
            self._nul_tail = (self.position.generation, file_bytes, changed_ns)
            return None
        if begin:
            return self._complete(data[:begin], observed_ns, ended=True)
        size = (after - self.position.offset) // unit * unit
        end = self.position.offset + size
        guard = guard_of(self.source.read_at(min(GUARD_BYTES, end), end - min(GUARD_BYTES, end)))
        mark = advanced(self.source, self.position.mark, size, guard)
        return Taken([], size, msgspec.structs.replace(self.position, mark=mark, part=0), nul_bytes=size)

    def _taken(self, data: bytes, size: int, now_s: float, observed_ns: int) -> Taken | None:
        newline = self.encoding.newline
        end = data.rfind(newline)
        if end >= 0:
            last = _end_of_lines(data, end, newline)
            full = last < end or len(data) >= self._chunk
            held_s = self._held.record_s(now_s)
            ended = not full and held_s >= self._how.hold_s
            taken = self._complete(data[: last + len(newline)], observed_ns, ended=ended, full=full)
            if taken is None:
                self._held.hold(self.position.generation, size, now_s + self._how.hold_s - held_s)
            return taken
        if len(data) >= self._limits.line_bytes:
            return self._unfinished(data, observed_ns, "split")
        held_s = self._held.line_s(now_s)
        if held_s >= self._hold_s:
            return self._unfinished(data, observed_ns, "partial")
        self._held.hold(self.position.generation, size, now_s + self._hold_s - held_s)
        return None

    def _unfinished(self, data: bytes, observed_ns: int, flag: str) -> Taken | None:
        """A piece of a line that has no newline yet."""
        encoding, longest = self.encoding, self._limits.line_bytes
        if end := encoding.foreign(data):  # the file goes on in another encoding
            parts = self._encoder.pack(data[: end - 1], observed_ns, self.position.between.preceding)
            return Taken(parts, end, self._after(data[:end], 0))
        data = data[: encoding.whole(data, longest) if flag == "split" else encoding.begun(data) or None]
        return self._piece(encoding.utf8(data, not self.position.offset), data, observed_ns, flag)

    def _complete(self, read: bytes, observed_ns: int, ended: bool, full: bool = False) -> Taken | None:
        """Records of complete lines; None if all of them are one record that may go on.

        `read`: the bytes of the lines; the last one may lack its newline. `ended`: the last record does not go on.
        `full`: there are as many lines as one read may have, so it is cut if it is all of them.
        """
        lines = self._text(read)
        ended = ended or not self._has_same_lines(read, lines)
        parts: list[Part] = []
        begin = len(BYTE_ORDER_MARK) if not self.position.offset and lines.startswith(BYTE_ORDER_MARK) else 0
        if self.position.part:
            begin = lines.index(b"\n") + 1
            first = lines[: begin - 1].removesuffix(b"\r")
            parts = self._encoder.piece(first, observed_ns, self.position.part, "end", self.position.between.preceding)
        joined = self._joined(lines[begin:], ended, full)
        parts += packed(joined, self._encoder, observed_ns)
        size = begin + joined.size
        if not joined.size and not self.position.part:
            return None
        consumed = self._consumed(read, lines, size)
        position = msgspec.structs.replace(self._after(consumed, 0), between=joined.between)
        return Taken(parts, len(consumed), position)

    def _text(self, read: bytes) -> bytes:
        """`read` as lines in UTF-8, each with its newline."""
        newline = self.encoding.newline
        if self.encoding.is_utf8:
            return read if read.endswith(newline) else read + newline
        return self.encoding.utf8(read.removesuffix(newline), not self.position.offset) + b"\n"

    def _has_same_lines(self, read: bytes, lines: bytes) -> bool:
        """False if a stretch in another encoding has newlines of its own: then no line can be held back."""
        if self.encoding.is_utf8:
            return True
        newline = self.encoding.newline
        return lines.count(b"\n") == read.count(newline) + (not read.endswith(newline))

    def _consumed(self, read: bytes, lines: bytes, size: int) -> bytes:
        """The bytes of `read` that became the first `size` bytes of `lines`, which are whole lines."""
        if size == len(lines):
            return read
        if self.encoding.is_utf8:
            return read[:size]
        newline, count = self.encoding.newline, lines.count(b"\n", 0, size)
        return newline.join(read.split(newline, count)[:count]) + newline

    def _joined(self, lines: bytes, ended: bool, full: bool) -> Joined:
        between = self.position.between
        if not lines:
            return Joined([], 0, between)
        joined = join(lines, self._how, between, ended)
        return joined if joined.size or not full else join(lines, self._how, between, ended, cut=True)

    def _piece(self, piece: bytes, data: bytes, observed_ns: int, flag: str) -> Taken:
        preceding, between = piece_between(self.position.between, piece, self.position.part)
        packed = self._encoder.piece(piece, observed_ns, self.position.part, flag, preceding)
        part = self.position.part + sum(part.count for part in packed)
        position = msgspec.structs.replace(self._after(data, part), between=between)
        return Taken(packed, len(data), position)

    def _after(self, consumed: bytes, part: int) -> Position:
        mark = self.position.mark
        if len(consumed) < GUARD_BYTES and mark.offset:
            before = min(GUARD_BYTES, mark.offset)
            guard = guard_of(self.source.read_at(before, mark.offset - before) + consumed)
        else:
            guard = guard_of(consumed)
        return msgspec.structs.replace(
            self.position,
            mark=advanced(self.source, mark, len(consumed), guard),
            part=part,
            before=self.position.before,
        )


def packed(joined: Joined, encoder: LineEncoder, observed_ns: int) -> list[Part]:
    parts: list[Part] = []
    for run in joined.runs:
        if run.joined:
            parts += encoder.piece(run.data, observed_ns, run.part, run.flag, run.preceding)
        else:
            parts += encoder.pack(run.data, observed_ns, run.preceding)
    return parts


def _end_of_lines(data: bytes, end: int, newline: bytes) -> int:
    """The newline that ends the last line of the chunk, or of its first 4000 lines."""
    if data.count(newline, 0, end) < CHUNK_LINES:
        return end
    rest = data.split(newline, CHUNK_LINES)[-1]
    return len(data) - len(rest) - len(newline)
