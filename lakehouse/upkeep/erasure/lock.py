"""Erasure lock: a data folder -> the one process that erases there now, known by a lock that goes with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from contracts.errors import ConfigError, StoreError
from contracts.settings import Settings


@contextlib.contextmanager
def erasing(settings: Settings) -> Iterator[None]:
    """Be that process.

    Raises:
        ConfigError: The folder cannot be written.
        StoreError: Another process is.
    """
    folder = settings.data / "receipts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f'"{folder}" cannot be written: {error.strerror}', hint="check its rights") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                "another process is erasing now", hint="wait until it has ended", retry_after_s=60
            ) from None
        yield
    finally:
        os.close(descriptor)


def is_erasing(settings: Settings) -> bool:
    """Whether some process is erasing now."""
    if not (settings.data / "receipts" / ".lock").exists():
        return False
    try:
        with erasing(settings):
            return False
    except StoreError:
        return True
