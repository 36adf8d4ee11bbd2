"""Scratch: a data folder -> temporary folders below `<data>/tmp`, one for each piece of work.

They may hold plain rows. Each folder has a lock that ends with its process, so `sweep` knows and removes the folders
of killed processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from contracts.locks import locked, try_lock

_HELD = ".held"


@contextlib.contextmanager
def scratch(data: Path, name: str) -> Iterator[Path]:
    """A new folder that only this process uses; removed at the end.

    Args:
        name: Prefix of the folder's name.

    Raises:
        OSError: The folder cannot be created.
    """
    with _alone(data / "tmp"):  # else a sweep may find the folder before it is locked
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=data / "tmp"))
        held = try_lock(folder / _HELD)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def sweep(data: Path) -> list[str]:
    """Remove the folders that no living process holds; return their names. Idempotent.

    Raises:
        OSError: A folder cannot be removed.
    """
    if not (data / "tmp").is_dir():
        return []
    gone: list[str] = []
    with _alone(data / "tmp"):
        for folder in sorted(path for path in (data / "tmp").iterdir() if path.is_dir() and not path.is_symlink()):
            with contextlib.suppress(FileNotFoundError):  # its process has just ended
                if (held := try_lock(folder / _HELD)) is not None:
                    try:
                        shutil.rmtree(folder)
                    finally:
                        os.close(held)
                    gone.append(folder.name)
    return gone


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Wait until no other process creates or sweeps folders here, and keep others out."""
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder / ".lock")
