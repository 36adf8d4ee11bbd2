"""Holder: a data folder -> the one process whose schedules care for it, known by `<data>/dagster/daemon.lock`.

The lock is the kernel's (flock): it goes with its process, however that ends. `headwater up` and `python -m
orchestration` take it at their start. A code server of `dagster dev` takes it at its first tick, so that the ticks of a
second daemon on one folder fail, saying who has it, and start nothing.
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
        descriptor = try_lock(folder / LOCK, 0o644)
        if descriptor is None:
            raise ConfigError(
                f'the batch tiers of "{data}" are run by another process{_other(folder / LOCK)}',
                hint="stop that one, or give another HEADWATER_DATA_DIR; two of them would do all work twice",
            )
        write_note(descriptor, json.dumps({"pid": os.getpid(), "what": what}).encode())
        _held[folder] = descriptor


def _other(path: Path) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        entry = json.loads(read_note(path))
        return f" (pid {entry['pid']}, {entry['what']})"
    return ""
