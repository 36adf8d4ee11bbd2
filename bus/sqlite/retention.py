"""Retention: consumed messages of a topic that are too old or too many -> removed, in short transactions.

Each transaction removes at most `CHUNK_BYTES`; a pause of the same length follows. So an append waits for a few
milliseconds at most. A call ends after `CALL_S`, and the next call continues. The transactions are not synced: after a
power loss the oldest messages may be back, and the next call removes them again.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.sqlite.file import PAGE_BYTES, WAL_BYTES, offset_of, position_of

CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 256
CALL_S = 2.0
SPARE_BYTES = 64 << 20  # free pages kept for the next appends; a quarter of the file if that is more
VACUUM_PAGES = 256  # moved in one transaction
RESERVE_BYTES = 4 * WAL_BYTES  # space that appends leave free; a quarter of the disk if that is less


@dataclass(frozen=True, slots=True)
class Limits:
    """Remove messages appended before `oldest_ns`, and the oldest while live pages exceed `size_bytes`."""

    oldest_ns: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    appended_ns: int
    log: int
    offset: int
    size_bytes: int


def disk_is_low(path: Path) -> bool:
    """True if less than `RESERVE_BYTES` are free on the disk. Appends are then refused.

    Trimming and the checkpoint of the log file need this space: in SQLite a delete writes too.
    """
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize < min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 4)


def trim(connection: sqlite3.Connection, path: Path, consumed: Mapping[int, int], limits: Limits) -> int:
    """Apply `limits` to the logs of `consumed` (log id -> first offset to keep); return the messages removed."""
    deadline_s = time.monotonic() + CALL_S
    total = 0
    if disk_is_low(path):  # after a checkpoint SQLite overwrites the log file from its start, so it need not grow
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    while time.monotonic() < deadline_s:
        started_s = time.monotonic()
        removed = _remove_chunk(connection, consumed, limits)
        if not removed:
            break
        total += removed
        time.sleep(time.monotonic() - started_s)
    _return_pages(connection, path, deadline_s)
    return total


def _remove_chunk(connection: sqlite3.Connection, consumed: Mapping[int, int], limits: Limits) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        following, removed = _choose(connection, consumed, limits)
        for log, offset in following.items():
            connection.execute(
                "DELETE FROM messages WHERE position >= ? AND position < ?",
                (position_of(log, 0), position_of(log, offset)),
            )
            connection.execute("UPDATE logs SET first_offset = ? WHERE id = ?", (offset, log))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return removed


def _choose(
    connection: sqlite3.Connection, consumed: Mapping[int, int], limits: Limits
) -> tuple[Mapping[int, int], int]:
    """The next messages to remove: log id -> its new first offset, and the number of messages."""
    excess_bytes = _live_bytes(connection) - limits.size_bytes
    following: dict[int, int] = {}
    removed = chunk_bytes = 0
    oldest_first = heapq.merge(
        *(_candidates(connection, log, offset) for log, offset in consumed.items()), key=lambda each: each.appended_ns
    )
    for candidate in oldest_first:
        too_old, too_many = candidate.appended_ns < limits.oldest_ns, excess_bytes > chunk_bytes
        if not (too_old or too_many) or chunk_bytes >= CHUNK_BYTES or removed == CHUNK_ROWS:
            break
        following[candidate.log] = candidate.offset + 1
        chunk_bytes += candidate.size_bytes
        removed += 1
    return following, removed


def _candidates(connection: sqlite3.Connection, log: int, end: int) -> Iterator[Candidate]:
    """The oldest messages of a log before offset `end`. SQLite gives the length without reading the payload."""
    rows = connection.execute(
        "SELECT position, appended_ns, length(headers) + length(payload) FROM messages"
        " WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
        (position_of(log, 0), position_of(log, end), CHUNK_ROWS),
    ).fetchall()
    return (Candidate(appended_ns, log, offset_of(position), size) for position, appended_ns, size in rows)


def _live_bytes(connection: sqlite3.Connection) -> int:
    return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * PAGE_BYTES


def _return_pages(connection: sqlite3.Connection, path: Path, deadline_s: float) -> None:
    """Shorten the file if it has far more free pages than the next appends will reuse, or if the disk is low."""
    spare = 0 if disk_is_low(path) else max(SPARE_BYTES // PAGE_BYTES, _pragma(connection, "page_count") // 4)
    free = _pragma(connection, "freelist_count")
    if free <= spare:
        return
    while free > spare and time.monotonic() < deadline_s:
        started_s, before = time.monotonic(), free
        connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")  # execute() would free one page only
        free = _pragma(connection, "freelist_count")
        if free == before:
            break
        time.sleep(time.monotonic() - started_s)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
