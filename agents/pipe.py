"""Pipe: standard input -> records.

A pipe cannot be read twice: a kill loses the lines that were read but not yet synced to the buffer. While the buffer
is full the agent does not read, so the writer of the pipe waits.
"""

from __future__ import annotations

import os
import select

from agents.lines import Limits, LineEncoder, Origin, Part, whole_characters

CHUNK_BYTES = 64 << 10


class Pipe:
    """Lines of the file descriptor `fd`. `ended` is True once the writer closed it and all records were returned."""

    def __init__(self, fd: int, origin: Origin, limits: Limits, hold_s: float) -> None:
        self.ended = False
        self._fd = fd
        attributes = {**origin.attributes, "log.iostream": "stdin"}
        self._encoder = LineEncoder(Origin(origin.service, origin.env, origin.host, attributes), limits)
        self._limits = limits
        self._hold_s = hold_s
        self._rest = b""
        self._part = 0
        self._held_since_s: float | None = None

    def take(self, now_s: float, observed_ns: int) -> tuple[list[Part], int]:
        """Records of the bytes that are ready now, and the number of these bytes; never blocks."""
        data = self._read()
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        packed: list[Part] = []
        if newline:
            packed = self._encoder.pack(whole, observed_ns, self._part)
            self._part, self._held_since_s = 0, None
        self._rest = rest
        packed += self._unfinished(now_s, observed_ns)
        return packed, len(data)

    def _read(self) -> bytes:
        if self.ended or not select.select([self._fd], [], [], 0)[0]:
            return b""
        data = os.read(self._fd, CHUNK_BYTES)
        self.ended = not data
        return data

    def _unfinished(self, now_s: float, observed_ns: int) -> list[Part]:
        if not self._rest:
            return []
        if self._held_since_s is None:
            self._held_since_s = now_s
        packed: list[Part] = []
        while len(self._rest) >= self._limits.line_bytes:
            cut = whole_characters(self._rest, self._limits.line_bytes)
            packed += self._piece(self._rest[:cut], observed_ns, "split")
            self._rest = self._rest[cut:]
        if self._rest and (self.ended or now_s - self._held_since_s >= self._hold_s):
            packed += self._piece(self._rest, observed_ns, "partial")
            self._rest = b""
            self._held_since_s = None
        return packed

    def _piece(self, data: bytes, observed_ns: int, flag: str) -> list[Part]:
        packed = self._encoder.piece(data, observed_ns, self._part, flag)
        self._part += sum(part.count for part in packed)
        return packed
