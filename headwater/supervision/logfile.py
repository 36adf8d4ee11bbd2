"""A log file with a size limit: bytes of a child's output -> `NAME.log`, `NAME.log.1` …; the oldest is removed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LIMIT_BYTES = 16 << 20
KEEP = 4


class LogFile:
    """Append-only; rotates after a whole line above `limit_bytes` and keeps `keep` older files.

    On a full disk log lines are lost; the process that writes them goes on.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES, keep: int = KEEP) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._keep = keep
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._size += os.write(self._descriptor, data)
            if self._size > self._limit_bytes and data.endswith(b"\n"):
                self._rotate()

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._older(number).replace(self._older(number + 1))
        self.path.replace(self._older(1))
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor, self._size = fresh, 0
