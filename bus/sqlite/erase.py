"""Erasing on the bus: messages of the bus file -> the same messages without some of their records.

A message keeps its offset, and its lines keep their numbers. `erase` replaces messages in short transactions, beside
readers and writers. `scrub` then rewrites the file, so that no copy of the old bytes stays. Idempotent: after a kill,
repeat the call.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bus.sqlite.file import OFFSET_BITS, bus_error, connect, offset_of
from contracts.errors import BusError
from contracts.messages import Message

CHUNK_ROWS = 64
BUSY_S = 30.0
COPIES = 2  # a temporary copy, and one in the log file

Change = Callable[[int, Message], Message | None]  # (partition, message) -> its replacement; None leaves it


def erase(path: Path, topic: str, change: Change, reached: Callable[[], object] = lambda: None) -> tuple[int, int]:
    """Replace messages of `topic`; return how many were read and how many changed. Durable on return.

    Args:
        reached: Called after each transaction.

    Raises:
        BusError: The same call may be repeated.
    """
    if not path.exists():
        return 0, 0
    try:
        with closing(connect(path, writes=True)) as connection:
            found = "SELECT partition, id FROM logs WHERE topic = ? ORDER BY partition"
            looked = changed = 0
            for partition, log in connection.execute(found, (topic,)).fetchall():
                counts = _erase_log(connection, partition, log, change, reached)
                looked, changed = looked + counts[0], changed + counts[1]
            return looked, changed
    except sqlite3.Error as error:
        raise bus_error(error, path) from error


def _erase_log(
    connection: sqlite3.Connection, partition: int, log: int, change: Change, reached: Callable[[], object]
) -> tuple[int, int]:
    looked = changed = 0
    at, end = log << OFFSET_BITS, (log + 1) << OFFSET_BITS
    select = (
        "SELECT position, appended_ns, headers, payload FROM messages WHERE position >= ? AND position < ?"
        " ORDER BY position LIMIT ?"
    )
    while rows := connection.execute(select, (at, end, CHUNK_ROWS)).fetchall():
        updates = []
        for position, appended_ns, headers, payload in rows:
            message = Message(payload, json.loads(headers), offset_of(position), appended_ns)
            new = change(partition, message)
            if new is not None:
                updates.append((json.dumps(dict(new.headers), separators=(",", ":")), new.payload, position))
        if updates:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("UPDATE messages SET headers = ?, payload = ? WHERE position = ?", updates)
            connection.execute("COMMIT")
            reached()
        looked, changed, at = looked + len(rows), changed + len(updates), rows[-1][0] + 1
    return looked, changed


def scrub(path: Path) -> None:
    """Rewrite the file without deleted bytes, and empty the log file.

    Replacing a message is not enough: free pages still hold the old bytes. Appends wait for the rewrite; an append
    whose deadline passes meanwhile fails and stores nothing.

    Raises:
        BusError: The disk has not enough room, or other processes held the file; the same call may be repeated.
    """
    if not path.exists():
        return
    _check_room(path)
    try:
        with closing(connect(path, writes=True, busy_s=BUSY_S)) as connection:
            # VACUUM writes a copy; the file system for temporary files may be too small for it.
            connection.execute(f"PRAGMA temp_store_directory = '{str(path.parent).replace(chr(39), chr(39) * 2)}'")
            connection.execute("VACUUM")
            deadline_s = time.monotonic() + BUSY_S
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline_s:
                    raise BusError(
                        f'log file of bus "{path}" could not be emptied in {BUSY_S:g} s: a process keeps reading it',
                        hint="repeat the call",
                        retry_after_s=5,
                    )
                time.sleep(0.05)
    except sqlite3.Error as error:
        raise bus_error(error, path) from error


def _check_room(path: Path) -> None:
    needed = COPIES * path.stat().st_size
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise BusError(
            f'rewriting bus file "{path}" needs {needed >> 20} MiB of free disk space, {free >> 20} MiB are free',
            hint="free disk space and repeat the call",
        )
