"""Multiline: complete lines of one source -> runs of records, some of them joined from several lines.

A pure function of the lines and of the state that stands with the read position, so lines that are read again give the
same records. The last record may be held back: its continuation may not be written yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from agents.between import Between, Open
from agents.envelopes import envelope_of
from agents.joining import Joined, Joining
from agents.runs import Runs
from agents.streams import join_streams
from agents.traces import Noteworthy, search_plain


def join(lines: bytes, how: Joining, between: Between, flush: bool, cut: bool = False) -> Joined:
    """Runs of records of `lines`, which end with a newline.

    `flush`: the last record is not held back; `cut`: nor is it at its end. Without both the size of the result may be
    0: all lines are one record that may go on.
    """
    envelope = envelope_of(lines[: lines.index(b"\n")].removesuffix(b"\r"))
    if envelope:
        return join_streams(lines, how, between, flush, cut, envelope)
    return _Walk(lines, how, between).joined(flush or cut, cut)


_empty_lines = cast("Callable[[bytes, int], re.Match[bytes]]", re.compile(rb"\n(?:\r?\n)*").match)


@dataclass(slots=True)
class _Record:
    """A record while its lines are looked at. Offsets are those of the newline before a line.

    Attributes:
        begin, end: Of the first line, and after the last line that is not empty.
        following: Of the line that is looked at next; beyond `end` if empty lines stand between.
        part: Pieces that were sent before, if this record continues an earlier one.
    """

    begin: int
    end: int
    following: int
    state: str
    part: int = 0
    several: bool = False


class _Walk:
    """One pass over a block: looks only at lines that may continue a record, and at the line before each."""

    def __init__(self, lines: bytes, how: Joining, between: Between) -> None:
        self._data = b"\n" + lines
        self._last = len(lines)  # offset of the last newline
        self._how = how
        self._opened = between.opened.get("")
        self._start = 0  # of the first line that is not empty
        self._runs = Runs(self._data, between.preceding)
        self._noteworthy = Noteworthy(self._data, search_plain)
        self._record: _Record | None = None

    def joined(self, flush: bool, cut: bool) -> Joined:
        runs = self._runs
        if not self._how.joins:
            runs.lines_to(self._last)
            return Joined(runs.runs, self._last, Between({}, runs.preceding))
        at = self._next(self._first())
        while at < self._last:
            at = self._next(self._visit(at))
        last = self._last_record()
        if not (flush or self._is_whole(last)):
            runs.lines_to(last.begin)
            opened = {"": self._opened} if self._opened and last.begin == self._start else {}
            return Joined(runs.runs, last.begin, Between(opened, runs.preceding))
        part = self._close(last, cut)
        runs.lines_to(self._last)
        opened = {} if self._is_whole(last) else {"": Open(part, last.state)}
        return Joined(runs.runs, self._last, Between(opened, runs.preceding))

    def _first(self) -> int:
        """Of the line before the first that may continue a record: no such line begins with one of the usual times."""
        if self._opened or self._how.begins or not self._runs.unusual:
            return 0
        unusual = min(self._runs.unusual, self._last)
        return self._data.rfind(b"\n", 0, unusual)

    def _next(self, at: int) -> int:
        """Of the first line from `at` on that must be looked at, or the end of the block."""
        record = self._record
        if record and record.following == at and (record.state or self._data[at + 1 : at + 2] in (b" ", b"\t")):
            return at
        if at == self._start and self._opened and self._opened.state:
            return at
        return at if self._how.begins else self._noteworthy.after(at)

    def _visit(self, at: int) -> int:
        """Add the line at `at` to the record before it, or begin a record; return where the next line is."""
        end = self._data.find(b"\n", at + 1)
        line = self._data[at + 1 : end].removesuffix(b"\r")
        record = self._before(at)
        if not line:
            end = _empty_lines(self._data, end).end() - 1
            if record:
                record.following = end
            else:
                self._start = end
            return end
        if record is None and self._opened:
            record = _Record(at, at, at, self._opened.state, max(1, self._opened.part))
        state = self._how.after(line, record.state) if record and not self._is_whole(record) else None
        if record and state is not None:
            record.several = record.several or record.end > record.begin
            record.state, record.end, record.following = state, end, end
            self._record = record
            return end
        if self._record:
            self._close(self._record)
        self._record = _Record(at, end, end, self._how.opened_by(line))
        return end

    def _before(self, at: int) -> _Record | None:
        """The record that ends where the line at `at` begins; None at the start of the block."""
        record = self._record
        if record and record.following == at:
            return record
        if record:
            self._close(record)
            self._record = None
        if at == self._start:
            return None
        begin = self._data.rfind(b"\n", 0, at)
        self._record = _Record(begin, at, at, self._how.opened_by(self._data[begin + 1 : at]))
        return self._record

    def _last_record(self) -> _Record:
        if self._record and self._record.following == self._last:
            return self._record
        if self._record:
            self._close(self._record)
        begin = self._data.rfind(b"\n", 0, self._last)
        return _Record(begin, self._last, self._last, self._how.opened_by(self._data[begin + 1 : self._last]))

    def _is_whole(self, record: _Record) -> bool:
        """True if no line can continue the record: it is one line of JSON."""
        data = self._data
        one = not record.several and not self._how.begins and data[record.begin + 1 : record.begin + 2] == b"{"
        return one and data[record.begin + 1 : record.end].rstrip().endswith(b"}")

    def _close(self, record: _Record, cut: bool = False) -> int:
        """Put the record into the runs if it is not one line; return the number of its pieces that are sent then."""
        if not (record.several or record.part):
            return 1
        return self._runs.record(record.begin, record.end, record.following, self._how, record.part, cut)
