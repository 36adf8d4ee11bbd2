"""A cursor: one partition of the bus file -> messages, over its own read-only connection.

A read transaction lasts as long as one `poll`, so readers never stop the checkpoint of the log file. A poll that finds
no message costs about 7 CPU-us (two look-ups in pages that stay in memory); asking SQLite for changes first is slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from bus.sqlite.file import bus_error, connect, offset_of, position_of
from contracts.errors import BusError, OffsetExpired
from contracts.messages import Message

_WAIT_S = 1.0  # a reader waits only while SQLite recovers a log file
_MESSAGES = """SELECT position, appended_ns, headers, payload FROM messages
    WHERE position >= ? AND position < ? ORDER BY position LIMIT ?"""
_HEADERS = """SELECT position, appended_ns, headers, x'' FROM messages
    WHERE position >= ? AND position < ? ORDER BY position LIMIT ?"""


class SqliteReader:
    """See `contracts.bus.Reader`. Not thread-safe."""

    def __init__(self, path: Path, log: int, offset: int, name: str) -> None:
        self._path = path
        self._log = log
        self._offset = offset
        self._name = name
        self._process = os.getpid()
        try:
            self._connection: sqlite3.Connection | None = connect(path, writes=False, busy_s=_WAIT_S)
        except sqlite3.Error as error:
            raise bus_error(error, path) from error
        try:
            self._check_retained()
        except BaseException:
            self.close()
            raise

    def poll(self, limit: int, max_bytes: int = 4 << 20) -> Sequence[Message]:
        return self._read(_MESSAGES, limit, max_bytes)

    def headers(self, limit: int) -> Sequence[Message]:
        return self._read(_HEADERS, limit, 1)

    def close(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
            self._connection = None

    def _read(self, statement: str, limit: int, max_bytes: int) -> Sequence[Message]:
        messages: list[Message] = []
        size_bytes = 0
        following = self._offset
        first, end = position_of(self._log, following), position_of(self._log + 1, 0)
        try:
            with contextlib.closing(self._open().execute(statement, (first, end, limit))) as rows:
                for position, appended_ns, headers, payload in rows:
                    if offset_of(position) != following:
                        break
                    size_bytes += len(payload)
                    if messages and size_bytes > max_bytes:
                        break
                    messages.append(Message(payload, json.loads(headers), following, appended_ns))
                    following += 1
        except sqlite3.Error as error:
            raise bus_error(error, self._path) from error
        if not messages and limit > 0:
            self._check_retained()
        self._offset = following
        return messages

    def _check_retained(self) -> None:
        try:
            row = self._open().execute("SELECT first_offset FROM logs WHERE id = ?", (self._log,)).fetchone()
        except sqlite3.Error as error:
            raise bus_error(error, self._path) from error
        if row[0] > self._offset:
            raise OffsetExpired(
                f"{self._name}: offset {self._offset} was removed by retention, the first offset is now {row[0]}",
                first_offset=row[0],
                hint="if the reader was too late, raise HEADWATER_BUS_RETENTION_H or HEADWATER_BUS_RETENTION_MIB",
            )

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusError("this reader is closed: open another")
        if self._process != os.getpid():
            raise BusError("this reader was opened before a fork: open the bus again in this process")
        return self._connection
