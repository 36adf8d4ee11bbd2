"""Redaction: messages of the bus file -> the same messages without some of their records, of which no trace stays.

A message keeps its offset, and its lines keep their numbers. Short transactions, beside readers and writers; what they
write over and what lies in free pages is overwritten or given back, and the log file is emptied. Idempotent: a call
that was killed is repeated.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bus.sqlite_file import OFFSET_BITS, bus_error, connect, offset_of
from contracts.errors import BusError
from contracts.messages import Message

CHUNK_ROWS = 64
VACUUM_PAGES = 256
CHECKPOINT_S = 30.0

Change = Callable[[int, Message], Message | None]  # (partition, message) -> its replacement; None leaves it


def redact(path: Path, topic: str, change: Change, reached: Callable[[], object] = lambda: None) -> tuple[int, int]:
    """Replace messages of `topic`; how many were looked at and how many changed. Durable on return.

    Args:
        reached: Called after each transaction.

    Raises:
        BusError: The same call may be repeated.
    """
    if not path.exists():
        return 0, 0
    try:
        with closing(connect(path, writes=True)) as connection:
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            found = "SELECT partition, id FROM logs WHERE topic = ? ORDER BY partition"
            looked = changed = 0
            for partition, log in connection.execute(found, (topic,)).fetchall():
                counts = _redact_log(connection, partition, log, change, reached)
                looked, changed = looked + counts[0], changed + counts[1]
            return looked, changed
    except sqlite3.Error as error:
        raise bus_error(error, path) from error


def _redact_log(
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
    """Give back free pages, which may hold what was trimmed, and empty the log file.

    Raises:
        BusError: A reader or writer was in the way all the time; the same call may be repeated.
    """
    if not path.exists():
        return
    try:
        with closing(connect(path, writes=True)) as connection:
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            while connection.execute("PRAGMA freelist_count").fetchone()[0]:
                before = connection.execute("PRAGMA freelist_count").fetchone()[0]
                connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                if connection.execute("PRAGMA freelist_count").fetchone()[0] >= before:
                    break
            deadline_s = time.monotonic() + CHECKPOINT_S
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline_s:
                    raise BusError(
                        f'log file of the bus "{path}" could not be emptied within {CHECKPOINT_S:g} s',
                        hint="a process reads the bus without a pause; repeat the call",
                        retry_after_s=5,
                    )
                time.sleep(0.05)
    except sqlite3.Error as error:
        raise bus_error(error, path) from error
