"""Holder: a data folder -> the one process whose schedules care for it, known by `<data>/dagster/daemon.lock`.

The lock is the kernel's (flock): it goes with its process, however that ends. `headwater up` and `python -m
orchestration` take it at their start. A code server of `dagster dev` takes it at its first tick, so that the ticks of a
second daemon on one folder fail, saying who has it, and start nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from pathlib import Path

from contracts.errors import ConfigError

LOCK = "daemon.lock"

_held: dict[Path, int] = {}  # folder -> descriptor, open for the life of this process
_turn = threading.Lock()


def hold(data: Path, what: str) -> None:
    """Be the one for `data` until this process ends. Idempotent.

    Args:
        what: Who asks, as a second one is told.

    Raises:
        ConfigError: Another process has it.
    """
    folder = data / "dagster"
    with _turn:
        if folder in _held:
            return
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f'the batch tiers of "{data}" are run by another process{other}',
                hint="stop that one, or give another HEADWATER_DATA_DIR; two of them would do all work twice",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "what": what}).encode(), 0)
        _held[folder] = descriptor


def _read(descriptor: int) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
        entry = json.loads(os.pread(descriptor, 4096, 0))
        return f" (pid {entry['pid']}, {entry['what']})"
    return ""
