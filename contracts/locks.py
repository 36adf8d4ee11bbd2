"""Locks: a file -> the one process that holds it. The kernel frees the lock when that process ends, for any reason.

The file is never removed: otherwise two processes could lock its old and its new inode at once. The holder may write
a note into the file, so that a second process can name the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

NOTE_BYTES = 4096


def lock(path: Path, mode: int = 0o600) -> int:
    """Wait until no other process holds `path`, then hold it. Returns the descriptor to close.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    descriptor = _open(path, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(path: Path, mode: int = 0o600) -> int | None:
    """Hold `path` now. Returns the descriptor to close, or None if another process holds `path`.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    descriptor = _open(path, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def locked(path: Path, mode: int = 0o600) -> Iterator[None]:
    """Wait for `path`, and hold it during the `with` block."""
    descriptor = lock(path, mode)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """True if a process holds `path` now. Takes a shared lock for an instant; creates no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_note(descriptor: int, note: bytes) -> None:
    """Write the holder into the lock file; replaces the previous note."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, note, 0)


def read_note(path: Path) -> bytes:
    """The note of the last holder; b"" if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(NOTE_BYTES)
    except OSError:
        return b""


def _open(path: Path, mode: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
