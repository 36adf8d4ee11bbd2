"""Files: bytes -> a file replaced as a whole, and names in a folder that survive a power loss."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes, *, sync: bool = True, mode: int = 0o600, shared: bool = False) -> None:
    """Write a file beside `path` and rename it over `path`: a reader sees the old bytes or the new ones, never a mix.

    Args:
        sync: True: durable on return. False: after a power loss the file may hold the old bytes or be empty.
        mode: Permissions of the new file, before the umask.
        shared: True if several processes may replace `path` at once. Each process then writes a temporary file with a
            random name, and a kill leaves that file behind. False: the next call overwrites the temporary file.

    Raises:
        OSError: The old file is still there.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new" if shared else f".{path.name}.new")
    beside.unlink(missing_ok=True)  # a file left behind by a kill may have other permissions
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
    """Write every byte of `content`; one call of the kernel may write only a part."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make created, moved and removed names in the folder `path` durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
