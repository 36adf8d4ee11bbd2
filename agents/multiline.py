"""Multiline: complete lines of one source -> runs of records, some of them joined from several lines.

A pure function of the lines and of the state that stands with the read position, so lines that are read again give the
same records. The last record may be held back: its continuation may not be written yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.between import PRECEDING_CHARS, Between, Open
from agents.envelopes import envelope_of
from agents.joining import Joined, Joining, Run, pieces_of, without_returns
from agents.streams import join_streams
from text.heads import has_time


def join(lines: bytes, how: Joining, between: Between, flush: bool, cut: bool = False) -> Joined:
    """Runs of records of `lines`, which end with a newline.

    `flush`: the last record is not held back; `cut`: nor is it at its end. Without both the size of the result may be
    0: all lines are one record that may go on.
    """
    envelope = envelope_of(lines[: lines.index(b"\n")].removesuffix(b"\r"))
    if envelope:
        return join_streams(lines, how, between, flush, cut, envelope)
    return _Walk(lines, how, between).joined(flush or cut, cut)


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
    preceding: str = ""
    part: int = 0
    several: bool = False


class _Walk:
    """One pass over a block: looks only at lines that `how.visits` finds, and at the line before each."""

    def __init__(self, lines: bytes, how: Joining, between: Between) -> None:
        self._data = b"\n" + lines
        self._last = len(lines)  # offset of the last newline
        self._how = how
        self._opened = between.opened.get("")
        self._start = 0  # offset of the first line that is not empty
        self._preceding = self._before_last = between.preceding
        self._runs: list[Run] = []
        self._sent = 0  # records before this offset are in the runs
        self._pending = (0, 0, "")  # begin, end and preceding text of a run that may grow
        self._record: _Record | None = None

    def joined(self, flush: bool, cut: bool) -> Joined:
        for found in self._how.visits.finditer(self._data, 0, self._last):
            self._visit(found.start())
        last = self._last_record()
        if not self._how.joins:
            last.state, flush = "", True
        held = not (flush or self._is_whole(last))
        if held:
            preceding = self._before_last
            self._emit_lines(last.begin, "")
            self._end_run()
            opened = {"": self._opened} if self._opened and last.begin == self._start else {}
            return Joined(self._runs, last.begin, Between(opened, preceding))
        part = self._close(last, cut)
        self._emit_lines(self._last, "")
        self._end_run()
        opened = {"": Open(part, last.state)} if self._how.joins and not self._is_whole(last) else {}
        return Joined(self._runs, self._last, Between(opened, self._preceding))

    def _visit(self, at: int) -> None:
        end = self._data.find(b"\n", at + 1)
        line = self._data[at + 1 : end].removesuffix(b"\r")
        record = self._before(at)
        if not line:
            if record:
                record.following = end
            else:
                self._start = end
            return
        if record is None and self._opened:
            record = _Record(at, at, at, self._opened.state, self._preceding, max(1, self._opened.part))
        state = self._how.after(line, record.state) if record and not self._is_whole(record) else None
        if record and state is not None:
            record.several = record.several or record.end > record.begin
            record.state, record.end, record.following = state, end, end
            self._record = record
            return
        if self._record:
            self._close(self._record)
        self._record = self._begun(at, end, line)

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
        self._record = self._begun(begin, at, self._data[begin + 1 : at].removesuffix(b"\r"))
        return self._record

    def _begun(self, begin: int, end: int, line: bytes) -> _Record:
        timed = has_time(line)
        self._before_last = self._preceding
        if timed:
            self._preceding = line[: 4 * PRECEDING_CHARS].decode(errors="replace")[:PRECEDING_CHARS]
        return _Record(begin, end, end, self._how.opened_by(line), "" if timed else self._preceding)

    def _last_record(self) -> _Record:
        if self._record and self._record.following == self._last:
            return self._record
        if self._record:
            self._close(self._record)
        begin = self._data.rfind(b"\n", 0, self._last)
        return self._begun(begin, self._last, self._data[begin + 1 : self._last].removesuffix(b"\r"))

    def _is_whole(self, record: _Record) -> bool:
        """True if no line can continue the record: it is one line of JSON."""
        data = self._data
        one = not record.several and not self._how.begins and data[record.begin + 1 : record.begin + 2] == b"{"
        return one and data[record.begin + 1 : record.end].rstrip().endswith(b"}")

    def _close(self, record: _Record, cut: bool = False) -> int:
        """Put the record into the runs; return the number of its pieces that are sent then."""
        if not (record.several or record.part):
            if record.preceding:
                self._emit_lines(record.begin, "")
                self._emit_lines(record.following, record.preceding)
            return 1
        self._emit_lines(record.begin, "")
        self._end_run()
        pieces = pieces_of(without_returns(self._data[record.begin + 1 : record.end]), self._how)
        part, end = record.part, record.part + len(pieces)
        for piece in pieces:
            part += 1
            flag = "split" if part < end or cut else "end" if part > 1 else ""
            self._runs.append(Run(piece, True, record.preceding, part - 1, flag))
        self._sent = record.following
        return part

    def _emit_lines(self, end: int, preceding: str) -> None:
        """Put the lines up to `end` that are in no run yet into one; each is a record."""
        if end <= self._sent:
            return
        if preceding != self._pending[2]:
            self._end_run()
        begin = self._pending[0] if self._pending[1] > self._pending[0] else self._sent
        self._pending = (begin, end, preceding)
        self._sent = end

    def _end_run(self) -> None:
        begin, end, preceding = self._pending
        if end > begin:
            self._runs.append(Run(self._data[begin + 1 : end], preceding=preceding))
        self._pending = (self._sent, self._sent, "")
