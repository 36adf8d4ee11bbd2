"""Runs: places in a block of lines -> runs of records, and with each the start of the last record that has a time.

Lines that are a record each are looked at one by one only if some of them have a time and others have none.
"""

from __future__ import annotations

from agents.between import start_of
from agents.joining import Joining, Run, pieces_of, without_returns
from text.heads import UNUSUAL, find_timed, has_time


class Runs:
    """Runs of the block `data`, which begins with a newline. Offsets are those of the newline before a line.

    Attributes:
        runs: What was put so far, in order.
        sent: All records before this offset are in the runs.
        preceding: Start of the last record in the runs that has a time.
        unusual: Offset of the first line that does not begin with one of the usual times; the size of the block if
            there is none.
    """

    def __init__(self, data: bytes, preceding: str) -> None:
        self.runs: list[Run] = []
        self.sent = 0
        self.preceding = preceding
        self._data = data
        first = UNUSUAL.search(data)
        self.unusual = first.start() if first else len(data)

    def lines_to(self, end: int) -> None:
        """Put the lines before `end`; each is a record."""
        begin, data = self.sent, self._data
        if end <= begin:
            return
        self.sent = end
        untimed = UNUSUAL.search(data, max(begin, self.unusual), end) if self.unusual < end else None
        if not untimed:
            self._put(begin, end, "")
            self._note(end)
        elif find_timed(data, begin, end) is None:
            self._put(begin, end, self.preceding)
        else:
            self._put_mixed(begin, end, untimed.start())

    def record(self, begin: int, end: int, following: int, how: Joining, part: int, cut: bool) -> int:
        """Put the lines from `begin` to `end` as one record; return the number of its pieces that are sent then.

        `following`: of the next record's first line. `part`: pieces that were sent before. `cut`: its end is not there.
        """
        self.lines_to(begin)
        record = without_returns(self._data[begin + 1 : end])
        preceding = self.preceding
        first = record.partition(b"\n")[0]
        if has_time(first):
            preceding, self.preceding = "", start_of(first)
        pieces = pieces_of(record, how)
        for number, piece in enumerate(pieces, part + 1):
            preceding = preceding if number == part + 1 else self.preceding
            flag = "split" if number < part + len(pieces) or cut else "end" if number > 1 else ""
            self.runs.append(Run(piece, True, preceding, number - 1, flag))
        self.sent = following
        return part + len(pieces)

    def _put(self, begin: int, end: int, preceding: str) -> None:
        if end > begin:
            self.runs.append(Run(self._data[begin + 1 : end], preceding=preceding))

    def _put_mixed(self, begin: int, end: int, untimed: int) -> None:
        """Put the lines from `begin`, in runs of those with a time and those without; `untimed` may have none."""
        data = self._data
        while untimed >= 0:
            following = data.find(b"\n", untimed + 1, end)
            following = end if following < 0 else following
            if not has_time(data[untimed + 1 : untimed + 513]) or following == untimed + 1:
                self._put(begin, untimed, "")
                if untimed > begin:
                    self._note(untimed)
                begin = self._timed_after(following, end)
                self._put(untimed, begin, self.preceding)
                following = begin
            found = UNUSUAL.search(data, following, end)
            untimed = found.start() if found else -1
        self._put(begin, end, "")
        if end > begin:
            self._note(end)

    def _timed_after(self, begin: int, end: int) -> int:
        """Of the first line from `begin` on that has a time, or `end`."""
        found = find_timed(self._data, begin, end)
        return end if found is None else found

    def _note(self, end: int) -> None:
        """The record before `end` is one line that has a time."""
        begin = self._data.rfind(b"\n", 0, end) + 1
        self.preceding = start_of(self._data[begin:end])
