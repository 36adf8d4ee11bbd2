"""Pace: parts of sources that found nothing -> one pause of their worker, once all of them found nothing.

The engine can wake each part by a time of its own, but every early wake adds another timer that never goes away: an
idle flow then costs more by the hour. So parts ask to be called again at once, and the last one that is idle sleeps for
all of them; there is nothing else that the worker could do.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable


class Pace:
    """Of one graph. Each worker thread has its own set of parts; a part says `join`, then `idle` or `busy`, `leave`."""

    def __init__(self, stop: threading.Event, pause_s: float) -> None:
        self._stop = stop
        self._pause_s = pause_s
        self._here = threading.local()

    def _parts(self) -> dict[Hashable, bool]:
        parts: dict[Hashable, bool] | None = getattr(self._here, "parts", None)
        if parts is None:
            parts = self._here.parts = {}
        return parts

    def join(self, part: Hashable) -> None:
        self._parts()[part] = False

    def leave(self, part: Hashable) -> None:
        self._parts().pop(part, None)

    def busy(self, part: Hashable) -> None:
        self._parts()[part] = False

    def idle(self, part: Hashable) -> None:
        """`part` found nothing. Sleeps when no part of this worker has found anything since the last sleep."""
        parts = self._parts()
        parts[part] = True
        if all(parts.values()):
            self._stop.wait(self._pause_s)
            for each in parts:
                parts[each] = False
