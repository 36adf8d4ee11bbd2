"""Pipe: standard input -> records.

A pipe cannot be read twice: a kill loses the lines that were read but not yet synced to the buffer. While the buffer
is full the agent does not read, so the writer of the pipe waits.
"""

from __future__ import annotations

import os
import select
from dataclasses import replace

from agents.between import Between, piece_between
from agents.follow import packed
from agents.joining import EACH_LINE, Joining
from agents.lines import Limits, LineEncoder, Origin, Part, whole_characters
from agents.multiline import join

CHUNK_BYTES = 64 << 10


class Pipe:
    """Lines of the file descriptor `fd`. `ended` is True once the writer closed it and all records were returned."""

    def __init__(self, fd: int, origin: Origin, limits: Limits, hold_s: float, how: Joining = EACH_LINE) -> None:
        self.ended = False
        self._fd = fd
        attributes = {**origin.attributes, "log.iostream": "stdin"}
        self._encoder = LineEncoder(replace(origin, attributes=attributes), limits)
        self._limits = limits
        self._hold_s = hold_s
        self._how = how
        self._between = Between()
        self._rest = b""
        self._part = 0
        self._held_since_s: float | None = None
        self._open_since_s: float | None = None  # since when the last record waits for its next line

    def take(self, now_s: float, observed_ns: int) -> tuple[list[Part], int]:
        """Records of the bytes that are ready now, and the number of these bytes; never blocks."""
        data = self._read()
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        parts: list[Part] = []
        if newline:
            self._rest = rest
            parts, held = self._complete(whole + newline, now_s, observed_ns)
            self._rest = held + rest
            if not held:
                self._open_since_s = None
            if parts:
                self._held_since_s = None
        else:
            self._rest = rest
        return parts + self._unfinished(now_s, observed_ns), len(data)

    def finish(self, observed_ns: int) -> list[Part]:
        """Records of all bytes that were read and are in no record yet. Nothing is read after it."""
        self.ended = True
        return self.take(0.0, observed_ns)[0]

    def _complete(self, lines: bytes, now_s: float, observed_ns: int) -> tuple[list[Part], bytes]:
        """Records of complete lines, and the lines of the last record if it may go on."""
        parts: list[Part] = []
        if self._part:
            first, _, lines = lines.partition(b"\n")
            parts = self._piece(first.removesuffix(b"\r"), observed_ns, "end")
            self._part = 0
        if not lines:
            return parts, b""
        if self._open_since_s is None:
            self._open_since_s = now_s
        waited = now_s - self._open_since_s >= self._how.hold_s
        ended = self.ended or waited or len(self._rest) >= self._limits.line_bytes
        full = len(lines) >= self._limits.line_bytes or lines.count(b"\n") > self._how.lines
        joined = join(lines, self._how, self._between, ended)
        if not joined.size and full:
            joined = join(lines, self._how, self._between, ended, cut=True)
        if joined.size:
            self._between = joined.between
            self._open_since_s = None if ended or joined.size == len(lines) else now_s
        return parts + packed(joined, self._encoder, observed_ns), lines[joined.size :]

    def _read(self) -> bytes:
        if self.ended or not select.select([self._fd], [], [], 0)[0]:
            return b""
        data = os.read(self._fd, CHUNK_BYTES)
        self.ended = not data
        return data

    def _unfinished(self, now_s: float, observed_ns: int) -> list[Part]:
        """Pieces of the last line, which has no newline yet. It waits for a record that waits before it."""
        if not self._rest or b"\n" in self._rest:
            return []
        if self._held_since_s is None:
            self._held_since_s = now_s
        parts: list[Part] = []
        while len(self._rest) >= self._limits.line_bytes:
            cut = whole_characters(self._rest, self._limits.line_bytes)
            parts += self._piece(self._rest[:cut], observed_ns, "split")
            self._rest = self._rest[cut:]
        if self._rest and (self.ended or now_s - self._held_since_s >= self._hold_s):
            parts += self._piece(self._rest, observed_ns, "partial")
            self._rest = b""
            self._held_since_s = None
        return parts

    def _piece(self, data: bytes, observed_ns: int, flag: str) -> list[Part]:
        preceding, self._between = piece_between(self._between, data, self._part)
        parts = self._encoder.piece(data, observed_ns, self._part, flag, preceding)
        self._part += sum(part.count for part in parts)
        return parts
