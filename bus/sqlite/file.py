"""The bus file: path -> SQLite connections with the right pragmas, and SQLite's errors -> ours.

Schema, version 1. `logs` has a row per (topic, partition), `identity` has one row, written with the file. `messages`
has one integer key, `log << 40 | offset`, so that reading a partition is one walk along the b-tree. Headers are stored
before the payload: a scan of headers never touches the overflow pages that hold payloads.

Pages are 8 KiB. Measured against 4, 16 and 32 KiB: appends of 30 and 280 KiB cost within 10 % of the best size, and a
header scan, which reads one leaf page per few messages, costs half as much as with 16 KiB. `auto_vacuum=INCREMENTAL`
costs an append 5 to 15 % and makes deleting eight times cheaper, since freeing a payload no longer reads its pages.
Appends reuse freed pages, and trimming returns surplus pages to the disk. `secure_delete` is off because some builds of
SQLite turn it on, and a trim would then overwrite all removed pages.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path

from contracts.errors import BusError, BusFull, ConfigError
from contracts.files import sync_folder

APPLICATION_ID = 0x48574255  # "HWBU", in the file's header
SCHEMA_VERSION = 1
OFFSET_BITS = 40  # 10^12 messages per partition; leaves 2^23 partitions
PAGE_BYTES = 8192
WAL_BYTES = 8 << 20  # the log file is folded into the main file at this size
OPEN_TIMEOUT_S = 10.0

_SCHEMA = (
    """CREATE TABLE logs(
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        first_offset INTEGER NOT NULL DEFAULT 0, next_offset INTEGER NOT NULL DEFAULT 0, UNIQUE(topic, partition))""",
    """CREATE TABLE messages(
        position INTEGER PRIMARY KEY, appended_ns INTEGER NOT NULL, headers TEXT NOT NULL, payload BLOB NOT NULL)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_FULL_IO = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}  # a quota or file size limit shows up as these
_REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}


def position_of(log: int, offset: int) -> int:
    return log << OFFSET_BITS | offset


def offset_of(position: int) -> int:
    return position & ((1 << OFFSET_BITS) - 1)


def connect(
    path: Path, *, writes: bool, busy_s: float = OPEN_TIMEOUT_S, synchronous: str = "FULL"
) -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time. `busy_s`: longest wait for a lock."""
    mode = "rw" if writes else "ro"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in (
            f"synchronous = {synchronous}",
            "fullfsync = ON",  # macOS: a plain fsync does not reach the platter there
            "secure_delete = OFF",
            f"wal_autocheckpoint = {WAL_BYTES // PAGE_BYTES}",
            f"journal_size_limit = {4 * WAL_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path) -> None:
    """Create the file with its schema, or check that it is a bus of this version.

    Raises:
        ConfigError: The file is not a bus of this version, or must not be opened; the file did not change.
        BusError: The file cannot be used now.
    """
    try:
        _make_folder(path.parent)
        path.touch(mode=0o600)
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=OPEN_TIMEOUT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(path, error) from error
    try:
        if not _is_bus(connection, path):
            _create(connection, path)
            sync_folder(path.parent)
        _identify(connection)
    except (OSError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _REFUSED | {sqlite3.SQLITE_NOTADB} or isinstance(error, OSError):
            raise _cannot_open(path, error) from error
        raise bus_error(error, path) from error
    finally:
        connection.close()


def _make_folder(folder: Path) -> None:
    """`mkdir -p` that syncs every new name: a power loss must not remove the folder of the bus."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _is_bus(connection: sqlite3.Connection, path: Path) -> bool:
    """True if the file has our schema, False if it is empty; other files raise ConfigError."""
    # Count the tables first: between these reads another process may commit tables and ids in one transaction.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID and tables:
        raise ConfigError(f'"{path}" is a SQLite file, but not a bus', hint="point HEADWATER_BUS_URL at another file")
    if application == APPLICATION_ID and version != SCHEMA_VERSION:
        raise ConfigError(
            f'"{path}" is a bus of version {version}, this is version {SCHEMA_VERSION}',
            hint="run the release that wrote it until its flows have caught up, then start with a new file",
        )
    return bool(tables)


def _create(connection: sqlite3.Connection, path: Path) -> None:
    """Write the schema into an empty file. If several processes call this at once, one writes the schema."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _switch_to_wal(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    if not _is_bus(connection, path):
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")


def _identify(connection: sqlite3.Connection) -> None:
    """Give the file its identity; a file of an earlier release has none yet."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'identity'").fetchone():
        return
    connection.execute("PRAGMA synchronous = FULL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS identity(id TEXT NOT NULL)")
    connection.execute(
        "INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", (secrets.token_hex(16),)
    )
    connection.execute("COMMIT")


def identity_in(connection: sqlite3.Connection) -> str:
    (found,) = connection.execute("SELECT id FROM identity").fetchone()
    return str(found)


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to WAL mode, with a wait for the lock: SQLite does not wait for it in this statement."""
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise ConfigError(f'the file system of "{path}" has no shared memory', hint="put the bus on a local disk")


def _cannot_open(path: Path, error: Exception) -> ConfigError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
        return ConfigError(f'"{path}" is not a SQLite file', hint="point HEADWATER_BUS_URL at another file")
    return ConfigError(
        f'bus file "{path}" cannot be opened: {error}', hint="check HEADWATER_BUS_URL and the permissions of its folder"
    )


def bus_error(error: Exception, path: Path) -> BusError:
    """An error of SQLite -> our error. SQLite has rolled back the failed transaction."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code in _FULL_IO:
        return full(path, f"its disk is full or a quota is reached ({error})")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusError(f'bus file "{path}" is locked by another process', retry_after_s=1)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BusError(f'bus file "{path}" is damaged: {error}', hint="restore the file or move it aside")
    return BusError(f'bus file "{path}" failed: {error}', hint="check the disk and its file system", retry_after_s=5)


def full(path: Path, reason: str, hint: str = "") -> BusFull:
    return BusFull(
        f'bus "{path}" is full: {reason}',
        hint=hint or "free disk space; retention removes messages that the flows have consumed",
        retry_after_s=10,
    )


def at_limit(path: Path) -> BusFull:
    hint = "raise HEADWATER_BUS_MAX_MIB or shorten retention, and check that the flows run"
    return full(path, "its size limit is reached", hint)
