"""Holder: a data folder -> the one process whose schedules work on it, by the lock `<data>/dagster/daemon.lock`.

The kernel's lock (flock) ends with its process. `headwater up` and `python -m orchestration` take the lock at their
start, a code server of `dagster dev` at its first tick. So the ticks of a second daemon on the same folder start no
run: they fail with an error that names the holder.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path

from contracts.errors import ConfigError
from contracts.locks import read_note, try_lock, write_note

LOCK = "daemon.lock"

_held: dict[Path, int] = {}  # folder -> descriptor, open for the life of this process
_turn = threading.Lock()


def hold(data: Path, what: str) -> None:
    """Take the lock of `data` until this process ends. Idempotent.

    Args:
        what: Name of the holder in the error of a second process.

    Raises:
        ConfigError: Another process holds the lock.
    """
    folder = data / "dagster"
    with _turn:
        if folder in _held:
            return
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = try_lock(folder / LOCK, 0o644)
        if descriptor is None:
            raise ConfigError(
                f'the batch tiers of "{data}" are run by another process{_other(folder / LOCK)}',
                hint="stop that process, or set another HEADWATER_DATA_DIR; two processes would do all work twice",
            )
        write_note(descriptor, json.dumps({"pid": os.getpid(), "what": what}).encode())
        _held[folder] = descriptor


def _other(path: Path) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        entry = json.loads(read_note(path))
        return f" (pid {entry['pid']}, {entry['what']})"
    return ""
