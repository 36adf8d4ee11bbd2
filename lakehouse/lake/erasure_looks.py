"""Erasures as a flow looks at them: the lake, asked on a thread of its own -> what it said last, also while it is away.

An erasure cannot begin while the lake is away from everybody. One that begins while it is away from this flow alone
waits until the flow has landed in the lake what was accepted before (`upkeep.erasure.wait`), and so until the flow has
looked; what the hot store got meanwhile, the flow takes out of it then (`flows.write.forgetting`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.lake.erasure_requests import Tombstones

AGAIN_S = 1.0  # after a look that failed

log = logging.getLogger("headwater.flows")


class KnownTombstones(Tombstones):
    """Waits for a look that is due for `store_patience_s` at most; then it says what is known, until a look succeeds.

    Before the first look nothing is known, and StoreError is raised.
    """

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, settings, clock)
        self._done = threading.Condition()
        self._thread: threading.Thread | None = None
        self._failure: StoreError | None = None
        self._late_s: float | None = None  # since when a look is due

    def _look(self) -> None:
        """Called by one thread at a time; the look itself runs on another."""
        if self._is_fresh():
            self._late_s = None
            return
        now_s = self._clock()
        self._late_s = self._late_s or now_s
        with self._done:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_until_done, name="look for erasures", daemon=True)
                self._thread.start()
            left_s = self._late_s + self._settings.store_patience_s - now_s
            self._done.wait_for(lambda: self._is_fresh() or self._thread is None, max(0.0, left_s))
        if self._looked_s is None:
            raise self._failure or StoreError("the erasures in the lake cannot be read yet", retry_after_s=1)

    def _is_fresh(self) -> bool:
        return self._looked_s is not None and self._clock() - self._looked_s < self._settings.erase_look_s

    def _look_until_done(self) -> None:
        """One look; it is tried again by the next call."""
        try:
            super()._look()
            self._failure = None
        except StoreError as error:
            if self._failure is None:
                log.warning("erasures that begin from now on are not known yet, as the lake cannot be read: %s", error)
            self._failure = error
            time.sleep(AGAIN_S)
        finally:
            with self._done:
                self._thread = None
                self._done.notify_all()
