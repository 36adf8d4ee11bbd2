"""Erasure lock: a data folder -> at most one erasing process; the lock ends with its process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import ConfigError, StoreError
from contracts.locks import is_locked, try_lock
from contracts.settings import Settings


@contextlib.contextmanager
def erasing(settings: Settings) -> Iterator[None]:
    """Hold the lock.

    Raises:
        ConfigError: The folder cannot be written.
        StoreError: Another process holds the lock.
    """
    path = _file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = try_lock(path)
    except OSError as error:
        raise ConfigError(f'"{path.parent}" cannot be written: {error.strerror}', hint="check permissions") from error
    if descriptor is None:
        raise StoreError("another process is erasing now", hint="wait until it has ended", retry_after_s=60)
    try:
        yield
    finally:
        os.close(descriptor)


def is_erasing(settings: Settings) -> bool:
    """True if a process is erasing now."""
    return is_locked(_file(settings))


def _file(settings: Settings) -> Path:
    return settings.data / "receipts" / ".lock"
