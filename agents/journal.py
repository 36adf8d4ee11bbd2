"""Journal: log messages of the agent -> JSON lines on standard error."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from contracts.own_logs import line

LEVELS = ("debug", "info", "warning", "error")
REPEAT_S = 60.0


class Journal:
    """Thread-safe. `once` logs a message of a subject at most once a minute, to limit the lines of retries."""

    def __init__(self, name: str, level: str = "info", stream: TextIO | None = None) -> None:
        self._name = name
        self._least = LEVELS.index(level)
        self._stream = stream
        self._lock = threading.Lock()
        self._logged_s: dict[tuple[str, str], float] = {}

    def info(self, message: str, **fields: object) -> None:
        self._log("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._log("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._log("error", message, fields)

    def once(self, level: str, subject: str, message: str, **fields: object) -> None:
        """Log `message` unless it was logged for `subject` within the last minute."""
        now = time.monotonic()
        with self._lock:
            if len(self._logged_s) > 10_000:
                self._logged_s.clear()
            if now - self._logged_s.get((subject, message), -REPEAT_S) < REPEAT_S:
                return
            self._logged_s[subject, message] = now
        self._log(level, message, fields)

    def _log(self, level: str, message: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < self._least:
            return
        text = line(level, {"agent": self._name, "message": message, **fields})
        with self._lock:
            print(text, file=self._stream or sys.stderr, flush=True)
