"""The embedded bus: topics and partitions in one SQLite file, for any number of processes of one machine.

Guarantee: an append that returned is on the disk. The file is in WAL mode with `synchronous=FULL`: SQLite syncs the log
file at the end of every transaction, before the commit returns, and each frame of it carries a checksum. A crash of the
process needs no repair; after a power loss SQLite reads the log up to its last whole transaction. Both keep every
acknowledged append, if the disk honours a sync. An append that was not acknowledged is stored whole or not at all.

Parallelism: one writer at a time over all processes (appends of a process share transactions, see
`bus.sqlite.group_commit`). Readers and writers do not block each other. Partitions give order, not faster writes.

Not handled: a file on a network file system (SQLite's shared memory needs one machine).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bus.sqlite import retention
from bus.sqlite.file import OPEN_TIMEOUT_S, PAGE_BYTES, at_limit, bus_error, connect, full, identity_in, prepare
from bus.sqlite.group_commit import Append, GroupCommit, Row
from bus.sqlite.reader import SqliteReader
from contracts.bus import Extent, Reader
from contracts.errors import BusError, ConfigError, TooLarge
from contracts.messages import Message
from contracts.settings import Settings

MIB = 1 << 20
MESSAGE_BYTES = 512 * MIB  # SQLite's own limit for a row is 10^9 bytes
SPARE_BYTES = 1 * MIB  # with less room than this below its limit, the bus counts as full
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # the rule of Kafka, so that a topic can move to Kafka
_LEFT_BEHIND: list[object] = []  # connections of the parent of this process: closing them here would harm the parent


class SqliteBus:
    """See `contracts.bus.Bus`. `clock_ns` gives Unix nanoseconds, UTC."""

    def __init__(self, path: str | Path, settings: Settings, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = Path(path).expanduser().resolve()
        self._settings = settings
        self._clock_ns = clock_ns
        self._process = os.getpid()
        self._closed = False
        self._topics: dict[str, Sequence[int]] = {}
        self._lock = threading.Lock()
        prepare(self._path)
        self._inode = self._path.stat().st_ino
        with self._translated():
            self._connection = connect(self._path, writes=True)
            writer = connect(self._path, writes=True)
            writer.execute(f"PRAGMA max_page_count = {settings.bus_max_mib * MIB // PAGE_BYTES}").fetchall()
        window_s = settings.bus_group_commit_ms / 1000
        self._writer = GroupCommit(writer, self._path, window_s, self._check_file, clock_ns)

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        self._check_usable()
        if not messages:
            self._check_file()
            self._check_size()
            return ()
        rows = [_row(message) for message in messages]
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        log = self._logs(topic, timeout_s)[self.partition_for(topic, key)]
        append = Append(log, rows)
        self._writer.send(append)
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        first = self._writer.wait_durable(append, left_s)
        return range(first, first + len(rows))

    def partitions(self, topic: str) -> Sequence[int]:
        self._check_usable()
        return range(len(self._logs(topic)))

    def partition_for(self, topic: str, key: str) -> int:
        self._check_usable()
        digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % len(self._logs(topic))

    def reader(self, topic: str, partition: int, offset: int) -> Reader:
        self._check_usable()
        self._check_not_replaced()
        self._check_same()
        logs = self._logs(topic)
        if not 0 <= partition < len(logs) or offset < 0:
            raise ValueError(f'topic "{topic}" has no partition {partition} with an offset {offset}')
        return SqliteReader(self._path, logs[partition], offset, f"{topic}/{partition}")

    def extents(self, topic: str) -> Mapping[int, Extent]:
        self._check_usable()
        self._check_not_replaced()
        self._logs(topic)
        with self._translated(), self._lock:
            rows = self._connection.execute(
                "SELECT partition, first_offset, next_offset FROM logs WHERE topic = ? ORDER BY partition", (topic,)
            ).fetchall()
        return {partition: Extent(first, following) for partition, first, following in rows}

    def identity(self, topic: str) -> str:  # noqa: ARG002  (one file, one identity)
        """The identity of the file at the path now, which may not be the file that this bus has open."""
        self._check_usable()
        if self._is_same():
            with self._translated(), self._lock:
                return identity_in(self._connection)
        if not self._path.exists():
            raise BusError(f'bus file "{self._path}" was removed', hint="stop everything and start again")
        prepare(self._path)
        with self._translated(), closing(connect(self._path, writes=False)) as connection:
            return identity_in(connection)

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        self._check_usable()
        if not self._is_same():
            return 0  # the offsets of the caller belong to another file
        by_log = {log: consumed[index] for index, log in enumerate(self._logs(topic)) if index in consumed}
        limits = retention.Limits(
            oldest_ns=self._clock_ns() - int(self._settings.bus_retention_h * 3600e9),
            size_bytes=self._settings.bus_retention_mib * MIB,
        )
        with self._translated(), closing(connect(self._path, writes=True, synchronous="NORMAL")) as connection:
            return retention.trim(connection, self._path, by_log, limits)

    def size_bytes(self) -> int:
        """Size of the file and its log file."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                total += Path(f"{self._path}{suffix}").stat().st_size
        return total

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._process != os.getpid():
            _LEFT_BEHIND.append((self._connection, self._writer))
            return
        self._writer.close()
        with self._lock:
            self._connection.close()

    def _logs(self, topic: str, timeout_s: float | None = None) -> Sequence[int]:
        """Log ids by partition. They never change once a topic exists, even if the setting changes."""
        logs = self._topics.get(topic)
        if logs is None:
            with self._translated():
                logs = self._find_or_create(topic, OPEN_TIMEOUT_S if timeout_s is None else max(0.0, timeout_s))
            self._topics[topic] = logs
        return logs

    def _find_or_create(self, topic: str, busy_s: float) -> Sequence[int]:
        if not _TOPIC.fullmatch(topic):
            raise ValueError(f'topic "{topic}" must be 1 to 249 of A-Z, a-z, 0-9, ".", "_", "-"')
        find = "SELECT id FROM logs WHERE topic = ? ORDER BY partition"
        with self._lock:
            if found := [log for (log,) in self._connection.execute(find, (topic,)).fetchall()]:
                return found
        with closing(connect(self._path, writes=True, busy_s=busy_s)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute(find, (topic,)).fetchone():
                rows = [(topic, partition) for partition in range(self._settings.bus_partitions)]
                connection.executemany("INSERT INTO logs(topic, partition) VALUES (?, ?)", rows)
            connection.execute("COMMIT")
            return [log for (log,) in connection.execute(find, (topic,)).fetchall()]

    def _check_file(self) -> None:
        """Run before each transaction: the path must still lead to the open file, and the disk must have room."""
        self._check_same()
        if retention.disk_is_low(self._path):
            raise full(self._path, "its disk is nearly full")

    def _check_not_replaced(self) -> None:
        """
        Raises:
            ConfigError: Another file is at the path; this bus has the old one open and can never read the new one. A
                file that is only removed may be put back, and the open one can still be read.
        """
        if not self._is_same() and self._path.exists():
            raise ConfigError(f'bus file "{self._path}" was replaced by another', hint="restart to use the new file")

    def _check_same(self) -> None:
        if not self._is_same():
            raise BusError(f'bus file "{self._path}" was removed or replaced', hint="stop all processes, start again")

    def _is_same(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def _check_size(self) -> None:
        """
        Raises:
            BusFull: The size limit leaves no room for one more group of appends.
        """
        with self._translated(), self._lock:
            used, free = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
            )
        if (used - free) * PAGE_BYTES > self._settings.bus_max_mib * MIB - SPARE_BYTES:
            raise at_limit(self._path)

    def _check_usable(self) -> None:
        if self._closed:
            raise BusError("the bus is closed: open it again")
        if self._process != os.getpid():
            raise BusError("the bus was opened before a fork: open it again in this process")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise bus_error(error, self._path) from error


def _row(message: Message) -> Row:
    if not isinstance(message.payload, bytes):
        raise TypeError(f"a payload must be bytes, not {type(message.payload).__name__}")
    headers = json.dumps(dict(message.headers), separators=(",", ":"))
    if len(message.payload) + len(headers) > MESSAGE_BYTES:
        raise TooLarge(f"a message of {len(message.payload)} bytes is too large: the limit is {MESSAGE_BYTES}")
    return headers, message.payload
