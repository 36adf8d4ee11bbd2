"""Multiline: complete lines of one source -> runs of records, some of them joined from several lines.

A pure function of the lines and of the state that stands with the read position, so lines that are read again give the
same records. The last record may be held back: its continuation may not be written yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agents.between import PRECEDING_CHARS, Between, Open
from agents.traces import continued, opened_by
from contracts.errors import ConfigError
from text.heads import UNUSUAL, has_time
from text.patterns import given_bytes_pattern

AUTO, NONE = "auto", "none"

_EVERY = re.compile(rb"\n")


@dataclass(frozen=True, slots=True)
class Joining:
    """How lines become records.

    Attributes:
        begins: Pattern that matches the first line of a record; None for the rules of `agents.traces`.
        joins: False if each line is a record.
        lines, most_bytes: Most lines and bytes of a joined record; a longer one is sent in pieces.
        hold_s: How long the last record waits for its next line.
    """

    begins: Callable[[bytes], object] | None
    joins: bool
    lines: int
    most_bytes: int
    hold_s: float

    def after(self, line: bytes, state: str) -> str | None:
        """State of the record after `line`, None if `line` begins a record."""
        if not self.joins:
            return None
        if self.begins:
            return None if self.begins(line) else state
        return continued(line, state)

    def opened_by(self, line: bytes) -> str:
        return opened_by(line) if self.joins and not self.begins else ""

    @property
    def visits(self) -> re.Pattern[bytes]:
        """Finds the lines that must be looked at one by one."""
        return _EVERY if self.begins else UNUSUAL


EACH_LINE = Joining(None, False, 1, 1, 0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records: `data` is one record if `joined`, else each of its lines is one."""

    data: bytes
    joined: bool = False
    preceding: str = ""
    part: int = 0
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """`runs` from the first `size` bytes of the lines, and the state after them."""

    runs: list[Run]
    size: int
    between: Between


def joining(mode: str, lines: int, limit_bytes: int, hold_s: float) -> Joining:
    """`mode`: "auto", "none", or a pattern (RE2) that matches the first line of each record from its start.

    Raises:
        ConfigError: The pattern cannot be read, or matches an empty line.
    """
    if mode in (AUTO, NONE):
        return Joining(None, mode == AUTO, lines, limit_bytes, hold_s)
    try:
        begins = given_bytes_pattern(mode).match
    except ValueError as error:
        raise _refused(mode, f"cannot be read: {error}") from error
    if begins(b""):
        raise _refused(mode, "matches an empty line, so every line would begin a record")
    return Joining(begins, True, lines, limit_bytes, hold_s)


def _refused(mode: str, reason: str) -> ConfigError:
    return ConfigError(
        f'multiline pattern "{mode[:200]}" {reason}',
        hint='pass "auto", "none", or a pattern in RE2 syntax that matches the first line of a record',
    )


def without_returns(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in data else data


def pieces_of(data: bytes, how: Joining) -> list[bytes]:
    """`data`, a joined record, cut between its lines where it passes a limit; a longer line stays whole."""
    if len(data) <= how.most_bytes and data.count(b"\n") < how.lines:
        return [data]
    pieces: list[bytes] = []
    begin = end = count = 0
    while end < len(data):
        following = data.find(b"\n", end) + 1 or len(data) + 1
        if count and (following - begin > how.most_bytes or count >= how.lines):
            pieces.append(data[begin : end - 1])
            begin, count = end, 0
        end, count = following, count + 1
    return [*pieces, data[begin:]]


def join(lines: bytes, how: Joining, between: Between, flush: bool, cut: bool = False) -> Joined:
    """Runs of records of `lines`, which end with a newline.

    `flush`: the last record is not held back; `cut`: nor is it at its end. Without both the size of the result may be
    0: all lines are one record that may go on.
    """
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
            return Joined(self._runs, last.begin, Between({}, preceding))
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
            return
        if record is None and at == 0 and self._opened:
            record = _Record(0, 0, 0, self._opened.state, self._preceding, max(1, self._opened.part))
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
        if at == 0:
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
