"""Files: bytes -> a file that is replaced as a whole, and names in a folder that survive a power loss."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes, *, sync: bool = True, mode: int = 0o600, shared: bool = False) -> None:
    """Write a file beside `path` and rename it over `path`: a reader sees the old bytes or the new ones, never a mix.

    Args:
        sync: Durable on return. Without it a power loss may bring the old bytes back, or an empty file.
        mode: Rights of the new file, before the umask.
        shared: Several processes may replace `path` at once. Each then writes a temporary file of its own name, which
            a kill can leave behind; otherwise the next call overwrites it.

    Raises:
        OSError: The old file is still there.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new" if shared else f".{path.name}.new")
    beside.unlink(missing_ok=True)  # a file that a kill left behind has rights of its own
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(descriptor, content)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte of `content`; the kernel may take fewer at a time."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make names durable that were made, moved or removed in the folder `path`."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
