"""Retries: an action that may fail for a while -> done, or given up because the flow stops or the deadline passed.

Nothing is dropped while waiting.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable

from contracts.errors import BusError, HeadwaterError, StoreError

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0

log = logging.getLogger("headwater.flows")


def patiently(
    what: str,
    action: Callable[[], object],
    stop: threading.Event,
    patience_s: Callable[[], float | None] = lambda: None,
) -> bool:
    """Run `action`; after a BusError or StoreError wait (back-off, at most 10 s) and run it again.

    Args:
        patience_s: Deadline from the first try, read after each failed try; None: no deadline. Never interrupts a try.

    Returns:
        True if `action` succeeded; False if `stop` was set or the deadline passed before.
    """
    pause_s, began_s = FIRST_PAUSE_S, time.monotonic()
    while True:
        try:
            action()
            return True
        except (BusError, StoreError) as error:
            limit_s = patience_s()
            if limit_s is not None and time.monotonic() + pause_s > began_s + limit_s:
                log.warning("%s is not possible and is given up for now: %s", what, error)
                return False
            say_waiting(what, error, pause_s)
            if stop.wait(pause_s):
                return False
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def say_waiting(what: str, error: HeadwaterError, pause_s: float) -> None:
    hint = f"; {error.hint}" if error.hint else ""
    log.warning("%s is not possible, next try in %.1f s: %s%s", what, pause_s, error, hint)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set: sources end, sinks commit. Call it on the main thread."""
    stop = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
