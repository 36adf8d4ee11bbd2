"""Journal: what the agent has to say -> one JSON line each on standard error."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from contracts.own_logs import line

LEVELS = ("debug", "info", "warning", "error")
REPEAT_S = 60.0


class Journal:
    """Thread-safe. The same message of the same subject is said once a minute, so that a retried error is no flood."""

    def __init__(self, name: str, level: str = "info", stream: TextIO | None = None) -> None:
        self._name = name
        self._least = LEVELS.index(level)
        self._stream = stream
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], float] = {}

    def info(self, message: str, **fields: object) -> None:
        self._say("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._say("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._say("error", message, fields)

    def once(self, level: str, subject: str, message: str, **fields: object) -> None:
        """Say it unless the same was said of `subject` within the last minute."""
        now = time.monotonic()
        with self._lock:
            if len(self._said) > 10_000:
                self._said.clear()
            if now - self._said.get((subject, message), -REPEAT_S) < REPEAT_S:
                return
            self._said[subject, message] = now
        self._say(level, message, fields)

    def _say(self, level: str, message: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < self._least:
            return
        text = line(level, {"agent": self._name, "message": message, **fields})
        with self._lock:
            print(text, file=self._stream or sys.stderr, flush=True)
