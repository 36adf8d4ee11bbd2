"""Buffer: parts of records and read positions -> segment files on disk -> batches with sequence numbers.

Records count as read only once they are durable: `append` returns when the frame is synced, and the frame holds the
read positions after its records. At start the agent takes the positions of the state file, then of all later frames;
it writes the state file before it deletes a segment. `append` gives each record its sequence number, once: the (epoch,
sequence) of a record never changes, however records are put into requests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence

from agents.frames import Note, encode_frame
from agents.home import Home, State, new_producer
from agents.journal import Journal
from agents.lines import Part
from agents.outbox import Batch, Outbox
from agents.positions import Position
from agents.segments import Cursor, Segment, new_segment, recover
from contracts.errors import ConfigError
from contracts.files import write_all

KNOWN_FILES = 20_000  # most positions kept; the position that moved longest ago is forgotten first


class BufferFull(Exception):
    """Nothing was stored; the same call may be repeated. The message names the full disk or buffer."""


class Buffer:
    """One thread appends; one other thread takes batches and acknowledges them."""

    def __init__(self, home: Home, max_bytes: int, segment_bytes: int, journal: Journal) -> None:
        self.changed = threading.Event()  # something was appended
        self.freed = threading.Event()  # a segment was deleted
        self._home = home
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max(max_bytes // 4, 1 << 16))
        self._journal = journal
        self._lock = threading.RLock()
        self._fd = -1
        self._closed = False
        self._active: Segment | None = None
        self._cursor: Cursor | None = None
        self._outbox = Outbox()
        self._recover()

    def _recover(self) -> None:
        try:
            state = self._home.load_state()
        except ValueError as error:
            self._journal.error("state file was damaged and set aside; files are read from their start", error=error)
            state = None
        self._recall(state or State(new_producer()), lost=state is None)
        try:
            self.checkpoint()
        except OSError as error:
            if state is None or state.epoch != self.next[0]:  # producer and epoch must be on disk before any record
                raise ConfigError(f'agent folder "{self._home.folder}" cannot be written: {error.strerror}') from error
            self._journal.warning("state file cannot be written, the agent will retry", error=error)
        self._reap()

    def _recall(self, state: State, lost: bool) -> None:
        self.producer = state.producer
        self.positions: dict[str, Position] = dict(state.positions)
        self.acked = max(state.acked, self._home.load_acked())
        self.next = stored = (state.epoch, state.sequence)
        self.unsent = 0
        gaps = 0

        def each(note: Note) -> None:
            nonlocal gaps
            gaps += note.epoch == state.epoch and note.sequence > self.next[1]
            self.next = max(self.next, note.end)
            self.unsent += _count_after(note, self.acked)
            if (note.epoch, note.sequence) >= stored:
                self._move(note.positions)

        self._segments, damaged = recover(self._home.folder, self._journal, each)
        if damaged or gaps or self.acked > self.next or (lost and self._segments):
            self.next = (max(self.next[0], self.acked[0]) + 1, 0)
            self._journal.warning("buffer state was lost, a new epoch begins", epoch=self.next[0])

    def append(self, parts: Sequence[Part], positions: Mapping[str, Position | None]) -> None:
        """Store records and the positions after them, both or neither. Blocks until synced.

        Raises:
            BufferFull: The buffer or the disk is full; nothing was stored.
        """
        note, frame = encode_frame(*self.next, parts, positions, time.time())
        self._make_room(len(frame))
        segment = self._writable()
        try:
            self._write(frame, segment.size)
        except OSError as error:
            self._undo(segment.size)
            raise BufferFull(f"the buffer cannot be written: {error.strerror}") from error
        with self._lock:
            segment.size += len(frame)
            segment.end = self.next = note.end
            self.unsent += note.count
            self._move(positions)
        self.changed.set()

    def take(self, max_records: int, max_bytes: int) -> Batch | None:
        """The oldest records that are not acknowledged, up to the limits but at least one; None if there are none.

        Returns the same records again until they are acknowledged.
        """
        with self._lock:
            while not self._outbox.holds(max_records, max_bytes) and self._read_frame():
                pass
            return self._outbox.batch(max_records, max_bytes)

    def acknowledge(self, end: tuple[int, int]) -> None:
        """Note that all records before `end` are delivered or set aside; delete the segments that this frees."""
        with self._lock:
            if self._closed:
                return
            self.unsent -= self._outbox.drop(end)
            self.acked = end
            self._home.save_acked(end)
            self._reap()

    def size_bytes(self) -> int:
        with self._lock:
            return sum(segment.size for segment in self._segments)

    def lag_s(self) -> float:
        """Age of the oldest record that is not acknowledged; 0 if all are."""
        with self._lock:
            oldest_s = self._outbox.oldest_s()
            return max(0.0, time.time() - oldest_s) if oldest_s else 0.0

    def checkpoint(self) -> None:
        """Write the state file, from which the agent can start without any segment."""
        with self._lock:
            self._home.save_state(State(self.producer, *self.next, self.acked, self.positions))

    def close(self) -> None:
        """Save the state. If all records are acknowledged, no segment stays."""
        with self._lock:
            if not self.unsent:
                self._seal()
            self._reap()
            self._seal()
            self._closed = True
            if self._cursor:
                self._cursor.close()
                self._cursor = None
            try:
                self.checkpoint()
            except OSError as error:
                self._journal.warning("state file cannot be written", error=error)

    def _write(self, frame: bytes, place: int) -> None:
        os.lseek(self._fd, place, os.SEEK_SET)
        write_all(self._fd, frame)
        os.fdatasync(self._fd)

    def _undo(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            self._seal()

    def _make_room(self, size: int) -> None:
        with self._lock:
            if self.size_bytes() + size <= self._max_bytes:
                return
            if not self.unsent:
                self._seal()
                self._reap()
            elif self.size_bytes() + size > self._max_bytes:
                raise BufferFull(f"the buffer is full: {self._max_bytes >> 20} MiB of records are not delivered")

    def _writable(self) -> Segment:
        if self._active and self._active.size < self._segment_bytes:
            return self._active
        with self._lock:
            self._seal()
            try:
                path, self._fd = new_segment(self._home.folder, *self.next)
            except OSError as error:
                raise BufferFull(f"a buffer segment cannot be created: {error.strerror}") from error
            self._active = Segment(path, 0, self.next)
            self._segments.append(self._active)
            return self._active

    def _seal(self) -> None:
        if self._active:
            os.close(self._fd)
            self._active = None

    def _reap(self) -> None:
        free = [segment for segment in self._segments if segment is not self._active and segment.end <= self.acked]
        if not free:
            return
        try:
            self.checkpoint()
        except OSError as error:
            self._journal.once("error", "state", "state file cannot be written, the agent will retry", error=error)
            return
        for segment in free:
            self._segments.remove(segment)
            if self._cursor and self._cursor.segment is segment:
                self._cursor.close()
                self._cursor = None
            segment.path.unlink(missing_ok=True)
        self.freed.set()

    def _move(self, positions: Mapping[str, Position | None]) -> None:
        for key, position in positions.items():
            self.positions.pop(key, None)
            if position:
                self.positions[key] = position
        while len(self.positions) > KNOWN_FILES:
            del self.positions[next(iter(self.positions))]

    def _read_frame(self) -> bool:
        """Move the next synced frame to the outbox; False if there is none."""
        for segment in self._segments:
            if self._cursor is None and segment.end > self.acked:
                self._cursor = Cursor(segment)
            if self._cursor is None or self._cursor.segment is not segment:
                continue
            if frame := self._cursor.next(segment.size):
                self._outbox.put(frame, self.acked)
                return True
            if segment is not self._segments[-1]:
                self._cursor.close()
                self._cursor = Cursor(self._segments[self._segments.index(segment) + 1])
        return False


def _count_after(note: Note, acked: tuple[int, int]) -> int:
    """Number of records of a frame at or after `acked`."""
    if note.epoch != acked[0]:
        return note.count if note.epoch > acked[0] else 0
    return max(0, min(note.count, note.end[1] - acked[1]))
