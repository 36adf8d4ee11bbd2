"""Group commit: the appends of many threads -> one transaction and one sync.

One thread owns the writing connection. It takes the write lock first and claims the waiting appends only then, so an
append whose deadline passes while another process holds the lock is withdrawn, and is known not to be stored.

The thread waits until as many appends are queued as the last transaction held, at most `window_s`. So a lone sender
does not wait, and many senders share every sync.
"""

from __future__ import annotations

import contextlib
import enum
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from bus.sqlite.file import PAGE_BYTES, at_limit, bus_error, position_of
from contracts.errors import BusError, OutcomeUnknown

GROUP_BYTES = 4 << 20  # enough for one sync: a group of this size is committed at once

Row = tuple[str, bytes]  # headers, payload


class State(enum.Enum):
    WAITING = enum.auto()
    SENT = enum.auto()
    DONE = enum.auto()


class Append:
    """One call of `append` in progress. `first_offset` is valid once `done` is set without an `error`."""

    __slots__ = ("arrived_s", "done", "error", "first_offset", "log", "rows", "size_bytes", "state")

    def __init__(self, log: int, rows: Sequence[Row]) -> None:
        self.log = log
        self.rows = rows
        self.size_bytes = sum(len(headers) + len(payload) for headers, payload in rows)
        self.arrived_s = time.monotonic()
        self.state = State.WAITING
        self.done = threading.Event()
        self.error: BusError | None = None
        self.first_offset = -1


class GroupCommit:
    """Thread-safe. `check` runs before each transaction and may refuse it by raising a `BusError`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        window_s: float,
        check: Callable[[], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._path = path
        self._window_s = window_s
        self._check = check
        self._clock_ns = clock_ns
        self._queue: deque[Append] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._closing = False
        self._expected = 1

    def send(self, append: Append) -> None:
        """Queue `append`. The first append starts the thread, so a process that only reads has none."""
        with self._changed:
            if self._closing:
                raise BusError("the bus is closed: open it again")
            if self._thread is None or not self._thread.is_alive():
                self._thread = self._started()
            self._queue.append(append)
            self._queued_bytes += append.size_bytes
            if len(self._queue) == 1 or self._is_complete():
                self._changed.notify()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="bus-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise BusError(
                f"the thread that writes to the bus cannot be started: {error}",
                hint="raise the limit of threads or the memory of this process",
                retry_after_s=1,
            ) from error
        return thread

    def wait_durable(self, append: Append, timeout_s: float | None) -> int:
        """Block until `append` is synced to the disk; return its first offset.

        Raises:
            OutcomeUnknown: `timeout_s` passed during the commit.
            BusError: Nothing was stored.
        """
        if not append.done.wait(timeout_s):
            self._give_up(append, timeout_s)
        if append.error is not None:
            raise append.error
        return append.first_offset

    def close(self) -> None:
        """Finish the queued appends, then stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._connection.close()

    def _give_up(self, append: Append, timeout_s: float | None) -> None:
        with self._changed:
            if append.state is State.WAITING:
                self._queue.remove(append)
                self._queued_bytes -= append.size_bytes
                raise BusError(f"the bus was not ready for the append within {timeout_s} s", retry_after_s=1)
            if append.state is State.SENT:
                raise OutcomeUnknown(f"the bus did not confirm within {timeout_s} s: send again", retry_after_s=1)

    def _run(self) -> None:
        while self._wait_for_group():
            self._commit_group()

    def _wait_for_group(self) -> bool:
        """Wait until a group is ready for a commit; False when the bus closes and the queue is empty."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return False
                self._changed.wait()
            until_s = self._queue[0].arrived_s + self._window_s
            while not self._is_complete():
                if (pause_s := until_s - time.monotonic()) <= 0:
                    break
                self._changed.wait(pause_s)
        return True

    def _is_complete(self) -> bool:
        return self._closing or len(self._queue) >= self._expected or self._queued_bytes >= GROUP_BYTES

    def _commit_group(self) -> None:
        group: list[Append] = []
        committing = False
        error: BusError | None = None
        try:
            self._check()
            self._connection.execute("BEGIN IMMEDIATE")
            group = self._claim()
            self._write(group)
            committing = True
            self._connection.execute("COMMIT")
        except Exception as failure:  # after any failure, all waiting callers must be released
            self._roll_back()
            group = group or self._claim()
            error = self._translate(failure, committing, sum(append.size_bytes for append in group))
        for append in group:
            append.error = error
            append.state = State.DONE
            append.done.set()

    def _claim(self) -> list[Append]:
        """Take the waiting appends. After this a passed deadline means an unknown outcome."""
        with self._changed:
            group: list[Append] = []
            size_bytes = 0
            while self._queue and (not group or size_bytes + self._queue[0].size_bytes <= GROUP_BYTES):
                append = self._queue.popleft()
                append.state = State.SENT
                size_bytes += append.size_bytes
                group.append(append)
            self._queued_bytes -= size_bytes
            self._expected = max(1, len(group))
            return group

    def _write(self, group: Sequence[Append]) -> None:
        now_ns = self._clock_ns()
        following: dict[int, int] = {}
        for append in group:
            offset = following[append.log] if append.log in following else self._next_offset(append.log)
            append.first_offset = offset
            self._connection.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?)",
                (
                    (position_of(append.log, offset + index), now_ns, headers, payload)
                    for index, (headers, payload) in enumerate(append.rows)
                ),
            )
            following[append.log] = offset + len(append.rows)
        for log, offset in following.items():
            self._connection.execute("UPDATE logs SET next_offset = ? WHERE id = ?", (offset, log))

    def _next_offset(self, log: int) -> int:
        offset: int = self._connection.execute("SELECT next_offset FROM logs WHERE id = ?", (log,)).fetchone()[0]
        return offset

    def _translate(self, failure: Exception, committing: bool, size_bytes: int) -> BusError:
        if isinstance(failure, BusError):
            return failure
        if committing and getattr(failure, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_FSYNC:
            # The frames are written: a crash before they are overwritten would restore them.
            return OutcomeUnknown(f'bus file "{self._path}": sync failed ({failure})', hint="check the disk")
        if getattr(failure, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL and self._is_at_limit(size_bytes):
            return at_limit(self._path)
        return bus_error(failure, self._path)

    def _is_at_limit(self, size_bytes: int) -> bool:
        """True if the page limit caused the failure: SQLite gives the same error for a full disk."""
        try:
            pages, limit = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "max_page_count")
            )
        except sqlite3.Error:  # this runs after a failure: the disk may not answer at all
            return False
        return bool(pages + size_bytes // PAGE_BYTES * 17 // 16 + 16 > limit)

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
