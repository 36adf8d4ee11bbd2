"""Streams: lines of a container's log, each in an envelope -> runs of records, joined for each stream by itself.

Lines of stdout and stderr stand mixed in one file, and the read position is one offset: it never stands within a record
of either stream. So records after an open one of the other stream wait with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.between import Between, Open
from agents.envelopes import Envelope, Enveloped
from agents.joining import Joined, Joining, Run, pieces_of
from agents.traces import Noteworthy

NEAR_LINES = 16  # a record after which as many lines of other streams stand is taken for complete
_ALL = "*"  # stands for all streams


@dataclass(slots=True)
class _Record:
    """Lines of one stream that are one record.

    Attributes:
        begin, end: Offsets in the block: of its first line, and after its last one.
        first: The line whose envelope the record keeps.
        texts: The lines of the container.
        number: Of its last line in the block.
        part: Pieces that were sent before, if it continues an earlier record.
        lines: Lines of the file.
        size: Bytes of `texts`.
        blanks: Empty lines after it, a part of it only if a line after them is.
    """

    begin: int
    end: int
    first: Enveloped
    texts: list[bytes]
    number: int
    state: str = ""
    part: int = 0
    lines: int = 1
    size: int = 0
    blanks: list[_Record] = field(default_factory=list)

    def is_whole(self) -> bool:
        """True if no line can continue it: it is one line of JSON."""
        text = self.texts[0]
        return len(self.texts) == 1 and text[:1] == b"{" and text.rstrip().endswith(b"}")


@dataclass(frozen=True, slots=True)
class _Done:
    """A complete record: its place in the block, its runs, and what is open after it.

    `runs` is [] if the record is one line as it stands.
    """

    begin: int
    end: int
    stream: str
    runs: list[Run]
    after: Open | None


def join_streams(lines: bytes, how: Joining, between: Between, flush: bool, cut: bool, envelope: Envelope) -> Joined:
    """As `agents.multiline.join`, for lines in envelopes."""
    return _Streams(lines, how, between, envelope).joined(flush, cut)


def _needs_lines(opened: Open) -> bool:
    return bool(opened.state or opened.inside)


class _Streams:
    """One pass over a block, line by line: pieces -> lines of a container -> records."""

    def __init__(self, lines: bytes, how: Joining, between: Between, envelope: Envelope) -> None:
        self._lines = lines
        self._noteworthy = Noteworthy(b"\n" + lines, envelope.search)
        self._checked = 0  # no line before this offset is noteworthy but the one that ends there
        self._how = how
        self._between = between
        self._envelope = envelope
        self._limit = how.most_bytes // 2  # the envelope and its escapes come on top
        self._opened: dict[str, Open] = dict(between.opened)  # by records that are in no block any more
        self._pieces: dict[str, _Record] = {}
        self._records: dict[str, _Record] = {}
        self._done: list[_Done] = []
        self._number = 0

    def joined(self, flush: bool, cut: bool) -> Joined:
        begin = 0
        while begin < len(self._lines):
            begin = self._skipped(begin)
            end = self._lines.index(b"\n", begin)
            self._visit(begin, end)
            self._number += 1
            begin = end + 1
        held = begin if flush or cut else self._held()
        for stream in list(self._pieces):
            if held == begin:
                self._cut_line(stream, "split" if cut else "partial")
        for stream, record in list(self._records.items()):
            if record.begin < held:
                self._close(stream, "split" if cut else "", may_go_on=held == begin)
        return self._up_to(held)

    def _skipped(self, begin: int) -> int:
        """Offset of the next line to look at: near a noteworthy one or the end, or while a state is open."""
        if begin < self._checked or self._how.begins or self._pieces or any(map(_needs_lines, self._opened.values())):
            return begin
        if any(record.state for record in self._records.values()):
            return begin
        noteworthy = self._noteworthy.after(begin)
        self._checked = noteworthy + 1
        near = noteworthy
        for _ in range(NEAR_LINES):
            near = self._lines.rfind(b"\n", begin, max(near - 1, begin)) + 1
            if near <= begin:
                return begin
        for stream in list(self._records):
            self._close(stream, "", may_go_on=False)
        self._opened.clear()
        self._done.append(_Done(begin, near - 1, _ALL, [], None))
        self._number += NEAR_LINES + 1
        return near

    def _visit(self, begin: int, end: int) -> None:
        line = self._envelope.read(self._lines[begin:end].removesuffix(b"\r"))
        if line is None:
            self._done.append(_Done(begin, end, "", [], None))
            return
        stream = line.stream
        pieces = self._pieces.get(stream)
        if pieces:
            pieces.texts.append(line.text)
            pieces.size += len(line.text)
            pieces.end, pieces.number, pieces.lines = end, self._number, pieces.lines + 1
        else:
            pieces = _Record(begin, end, line, [line.text], self._number, size=len(line.text))
        if line.is_piece:
            self._pieces[stream] = pieces
            if pieces.size > self._limit:
                self._cut_line(stream, "split")
            return
        self._pieces.pop(stream, None)
        self._take(stream, pieces)
        record = self._records.get(stream)
        if record and record.size > self._limit:
            self._close(stream, "split", may_go_on=True)

    def _cut_line(self, stream: str, flag: str) -> None:
        """Send what is there of a line whose end is not."""
        self._take(stream, self._pieces.pop(stream))
        if stream in self._records:
            self._close(stream, flag, may_go_on=True, inside=True)

    def _take(self, stream: str, line: _Record) -> None:
        """Add a line to the record that it continues, or begin a record with it."""
        line.texts = [b"".join(line.texts)]
        text = line.texts[0]
        record, opened = self._records.get(stream), self._opened.get(stream)
        if record and self._number - record.number > NEAR_LINES:
            self._close(stream, "", may_go_on=False)
            record = None
        if not text and self._how.joins and not (opened and opened.inside):
            self._take_blank(stream, record, line)
            return
        self._opened.pop(stream, None)
        state: str | None = None
        if opened:
            state = opened.state if opened.inside else self._how.after(text, opened.state)
            line.part = opened.part if state is not None else 0
        elif record and text and not record.is_whole():
            state = self._how.after(text, record.state)
        if record and state is not None:
            record.texts += [b""] * len(record.blanks) + [text]
            record.lines += len(record.blanks) + line.lines
            record.size += len(record.blanks) + len(text) + 1
            record.end, record.number, record.state, record.blanks = line.end, line.number, state, []
            return
        if record:
            self._close(stream, "", may_go_on=False)
        line.state = self._how.opened_by(text) if state is None else state
        self._records[stream] = line

    def _take_blank(self, stream: str, record: _Record | None, line: _Record) -> None:
        """An empty line waits with an open record; without one it is a record, and changes nothing."""
        if record and not record.is_whole():
            record.blanks.append(line)
            return
        if record:
            self._close(stream, "", may_go_on=False)
        runs = [] if line.lines == 1 else [Run(line.first.wrap(b""), joined=True)]
        self._done.append(_Done(line.begin, line.end, stream, runs, self._opened.get(stream)))

    def _close(self, stream: str, flag: str, may_go_on: bool, inside: bool = False) -> None:
        """Put the record of the stream to those that are complete. `flag`: of its last piece, if it is cut."""
        record = self._records.pop(stream)
        if record.lines == 1 and not (flag or may_go_on or record.part or record.blanks):
            self._done.append(_Done(record.begin, record.end, stream, [], None))
            return
        texts = pieces_of(b"\n".join(record.texts), self._how, self._limit)
        part, runs = record.part, list[Run]()
        for text in texts:
            part += 1
            kind = "split" if part < record.part + len(texts) else flag or ("end" if part > 1 else "")
            runs.append(Run(record.first.wrap(text), True, "", part - 1, kind))
        if record.lines == 1 and len(runs) == 1 and not (runs[0].flag or runs[0].part):
            runs = []
        open_after = may_go_on and (inside or (self._how.joins and not record.is_whole()))
        after = Open(part, record.state, inside) if open_after else None
        self._done.append(_Done(record.begin, record.end, stream, runs, after))
        self._done += [_Done(blank.begin, blank.end, stream, [], after) for blank in record.blanks]
        if after:
            self._opened[stream] = after

    def _held(self) -> int:
        """Offset from which on records wait: the first one that may go on."""
        near = [each for each in self._records.values() if self._number - each.number <= NEAR_LINES]
        held = [each for each in near if self._how.joins and not each.is_whole()]
        return min((each.begin for each in [*self._pieces.values(), *held]), default=len(self._lines))

    def _up_to(self, held: int) -> Joined:
        """The complete records before `held`, or before an earlier offset that is within none of them."""
        done = sorted(self._done, key=lambda each: each.begin)
        while (within := [each.begin for each in done if each.begin < held < each.end]) and min(within) < held:
            held = min(within)
        runs: list[Run] = []
        begin = end = -1  # of lines that follow each other and are a record each
        opened: dict[str, Open | None] = dict(self._between.opened)
        for each in done:
            if each.begin >= held:
                break
            if each.stream is _ALL:
                opened.clear()
            opened[each.stream] = each.after
            if not each.runs and each.begin == end + 1 and begin >= 0:
                end = each.end
                continue
            if begin >= 0:
                runs.append(Run(self._lines[begin:end]))
            begin, end = (-1, -1) if each.runs else (each.begin, each.end)
            runs += each.runs
        if begin >= 0:
            runs.append(Run(self._lines[begin:end]))
        between = Between({name: each for name, each in opened.items() if each}, self._between.preceding)
        return Joined(runs, held, between)
