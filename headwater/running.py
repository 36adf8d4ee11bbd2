"""Who runs a data folder: `<data>/up.lock`, held by the one `headwater up` -> its pid and address, or None."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.errors import ConfigError

LOCK = "up.lock"


@dataclass(frozen=True, slots=True)
class Running:
    """One `headwater up` at work."""

    pid: int
    url: str
    batch_url: str = ""  # of Dagster's UI; "" without the batch tiers


def hold(data: Path, url: str, batch_url: str = "", patience_s: float = 1.0) -> int:
    """Take the data folder for this process until it ends; the file descriptor that holds it.

    Waits `patience_s`, as a reader of the lock holds it for an instant.

    Raises:
        ConfigError: Another `headwater up` has it.
    """
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            other = _read(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f'another `headwater up` runs on "{data}"' + (f" (pid {other.pid}, {other.url})" if other else ""),
                hint=f"use that one, stop it{f' with: kill {other.pid}' if other else ''}, or give another --data-dir",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(Running(os.getpid(), url, batch_url))).encode(), 0)
        return descriptor


def running(data: Path) -> Running | None:
    """The `headwater up` that holds the folder now; None when there is none."""
    try:
        descriptor = os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _read(descriptor: int) -> Running | None:
    with contextlib.suppress(ValueError, TypeError, OSError):
        return Running(**json.loads(os.pread(descriptor, 4096, 0)))
    return None
