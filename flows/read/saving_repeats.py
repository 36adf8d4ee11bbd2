"""Saving repeats: a partition that is being read -> its state in files, every few seconds, on a thread of its own.

Reading never waits for a file, and a lake that is away costs no memory: as long as one save has not ended, what changes
is kept in the state alone, and goes into the next file. Once enough was saved, everything goes into files that need no
older ones (`all` and `keys`, see `saved_repeats`), and those that no start can need any more are deleted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flows.read.repeats import Learned, Repeats
from flows.read.saved_repeats import Name, Recalled, SavedRepeats

FOLD_NEWS = 360  # files `new` after which all is written: an hour at the default time between commits
FOLD_BYTES = 4 << 20  # or so much of what they hold
FOLD_SHARE = 8  # or this part of the keys that are remembered at most

log = logging.getLogger("headwater.flows")


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be written. `streams` None: no `all`, only what is new."""

    name: Name
    learned: Learned
    streams: Learned | None = None
    key_number: int = 0
    keys_kept: int = 0


class Saving:
    """Of one partition. Used by the thread that reads it.

    Args:
        known: The state as it was found; `repeats` goes on from there and is not saved beyond `known.offset`.
        start: Where reading begins. Files past it are of a flow that ended, or of a lake or bus that was replaced by an
            older copy: they are deleted before anything is written.
        landed: Asks up to which offset the lake has everything: an older state than that is of no use.
        pause_s: Between two saves.
        told: Called on the thread after each save, with the state.

    Attributes:
        written_bytes: In all.
    """

    def __init__(
        self,
        saved: SavedRepeats,
        known: Recalled,
        start: int,
        landed: Callable[[], int],
        pause_s: float,
        told: Callable[[Repeats], object] = lambda _repeats: None,
    ) -> None:
        self._saved, self._repeats, self._landed, self._pause_s, self._told = (
            saved,
            known.repeats,
            landed,
            pause_s,
            told,
        )
        self._start = start
        self._is_tidy = False
        self._offset = known.offset  # everything before it is saved
        self._news, self._news_bytes = known.news, known.news_bytes
        self._must_fold = not known.all_there
        self._key_number = known.key_number
        self._keys = list(known.keys)
        self._needs = {known.base: list(known.keys)} if known.base else dict[Name, list[Name]]()
        self._job: _Job | None = None  # is being written, or could not be
        self._thread: threading.Thread | None = None
        self._look_s = time.monotonic() + pause_s
        self.written_bytes = 0

    def look(self, offset: int) -> None:
        """Begin to save the state as of `offset`, if it is time; costs a look at the clock."""
        if time.monotonic() < self._look_s or (self._thread is not None and self._thread.is_alive()):
            return
        self._look_s = time.monotonic() + self._pause_s
        if self._job is None and (not self._repeats.has_news or offset <= self._offset) and not self._must_fold:
            return
        self._thread = threading.Thread(target=self._save, args=(self._job or self._next(offset),), daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the save that is under way has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def close(self, offset: int, until_s: float) -> None:
        """Save the state as of `offset`, until that monotonic time; else the next start reads a little more."""
        for _ in range(2):  # one that is under way, and the last
            self.wait(max(0.0, until_s - time.monotonic()))
            self._look_s = 0.0
            self.look(offset)
        self.wait(max(0.0, until_s - time.monotonic()))

    def _next(self, offset: int) -> _Job:
        name = Name("new", self._offset, offset)
        is_many = self._repeats.keys_added - self._key_number > self._repeats.most_keys // FOLD_SHARE
        if self._must_fold or self._news >= FOLD_NEWS or self._news_bytes >= FOLD_BYTES or is_many:
            self._repeats.learned()  # is in what follows
            keys, number = self._repeats.keys_since(self._key_number)
            self._job = _Job(name, keys, self._repeats.streams(), number, self._repeats.keys_kept)
        else:
            self._job = _Job(name, self._repeats.learned())
        return self._job

    def _save(self, job: _Job) -> None:
        try:
            if not self._is_tidy:
                self._tidy(lambda name: name.end > self._start)
                self._is_tidy = True
            self._write(job)
            self._job, self._offset = None, job.name.end
        except Exception as error:  # whatever it is, the flow goes on, and a start has an older state
            log.warning("repeats up to offset %d are not saved yet: %s", job.name.end, error)
            return
        try:
            self._told(self._repeats)
            if job.streams is not None:
                self._delete_old()
        except Exception as error:
            log.warning("old files of repeats are not deleted yet: %s", error)

    def _write(self, job: _Job) -> None:
        if job.streams is None:
            self.written_bytes += self._saved.write(job.name, job.learned)
            self._news += 1
            self._news_bytes += len(job.learned.keys) + 2 * len(job.learned.streams)
            return
        keys = self._keys
        if count := len(job.learned.key_times):
            name = Name("keys", keys[-1].end if keys else 0, job.name.end, count)
            self.written_bytes += self._saved.write(name, job.learned)
            keys = [*keys, name]
        keys, base = _needed(keys, job.keys_kept), Name("all", 0, job.name.end)
        self.written_bytes += self._saved.write(base, job.streams, keys)
        self._keys, self._needs[base], self._key_number = keys, keys, job.key_number
        self._news = self._news_bytes = 0
        self._must_fold = False

    def _delete_old(self) -> None:
        """A start is never before what the lake has: the newest `all` before that is the oldest that is of use."""
        landed = self._landed()
        bases = [name for name in self._needs if name.end <= landed]
        if not bases:
            return
        oldest = max(bases, key=lambda name: name.end)
        self._needs = {name: keys for name, keys in self._needs.items() if name.end >= oldest.end}
        needed = {key for keys in self._needs.values() for key in keys}
        self._tidy(lambda name: name.end < oldest.end and name not in needed)

    def _tidy(self, is_old: Callable[[Name], bool]) -> None:
        for name in filter(is_old, self._saved.names()):
            self._saved.delete(name)


def _needed(keys: list[Name], kept: int) -> list[Name]:
    """The newest files, that hold the `kept` newest keys."""
    needed: list[Name] = []
    for name in reversed(keys):
        if kept <= 0:
            break
        needed.append(name)
        kept -= name.count
    return needed[::-1]
