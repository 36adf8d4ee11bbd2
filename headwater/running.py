"""The running `headwater up` of a data folder: the lock `<data>/up.lock` -> its pid and address, or None."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.errors import ConfigError
from contracts.locks import is_locked, read_note, try_lock, write_note

LOCK = "up.lock"


@dataclass(frozen=True, slots=True)
class Running:
    """One running `headwater up`."""

    pid: int
    url: str
    batch_url: str = ""  # of Dagster's UI; "" without the batch tiers


def hold(data: Path, url: str, batch_url: str = "", patience_s: float = 1.0) -> int:
    """Lock the data folder until this process ends; returns the file descriptor of the lock.

    Tries for `patience_s`, because `running` of another process holds the lock for an instant.

    Raises:
        ConfigError: Another `headwater up` holds the lock.
    """
    deadline = time.monotonic() + patience_s
    while (descriptor := try_lock(data / LOCK, 0o644)) is None:
        if time.monotonic() >= deadline:
            other = _noted(data)
            raise ConfigError(
                f'another `headwater up` runs on "{data}"' + (f" (pid {other.pid}, {other.url})" if other else ""),
                hint=f"use that one, stop it{f' with: kill {other.pid}' if other else ''}, or give another --data-dir",
            )
        time.sleep(0.05)
    write_note(descriptor, json.dumps(asdict(Running(os.getpid(), url, batch_url))).encode())
    return descriptor


def running(data: Path) -> Running | None:
    """The `headwater up` that holds the lock now, or None."""
    with contextlib.suppress(OSError):
        if is_locked(data / LOCK):
            return _noted(data)
    return None


def _noted(data: Path) -> Running | None:
    with contextlib.suppress(ValueError, TypeError):
        return Running(**json.loads(read_note(data / LOCK)))
    return None
