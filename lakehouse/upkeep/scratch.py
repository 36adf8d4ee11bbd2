"""Scratch: a data folder -> folders below `<data>/tmp` for what a process lays down while it works.

They may hold plain rows. Each is held by a lock that goes with its process, so what a killed one left is known, and
`sweep` removes it.
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
    """A new folder, of this process alone; gone at the end.

    Args:
        name: How the folder's name begins.

    Raises:
        OSError: It cannot be made.
    """
    with _alone(data / "tmp"):  # else a sweep may find the folder before it is held
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=data / "tmp"))
        held = try_lock(folder / _HELD)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def sweep(data: Path) -> list[str]:
    """Remove the folders that no living process holds; their names. Idempotent.

    Raises:
        OSError: One cannot be removed.
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
    """Wait until no other process makes or sweeps here, and be the one that does."""
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder / ".lock")
