"""Forgetting: erasures that are under way -> days with such records leave the hot store; reads take the lake for them.

The flow does it for the days that its writer has open, as the embedded hot store admits one process. The lake commits
first: what it has is visible without the hot store.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable

from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from lakehouse.lake.erasure_requests import Tombstones, days_with

PAUSE_S = 5.0

log = logging.getLogger("headwater.flows")


class Forgetting:
    """Looked at on every write and tick, which costs a look at a clock.

    Args:
        settle: Makes the hot store, then the lake commit; False: it could not.
        forget: One day, by the writer.
    """

    def __init__(
        self,
        kind: Kind,
        hot: HotStore,
        tombstones: Tombstones,
        settle: Callable[[], bool],
        forget: Callable[[dt.date], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind, self._hot, self._tombstones = kind, hot, tombstones
        self._settle, self._forget = settle, forget
        self._done: set[str] = set()
        self._clock, self._not_before_s = clock, 0.0

    def __call__(self) -> None:
        """Do what is to do. What cannot be done now is tried again after a pause."""
        if self._clock() < self._not_before_s:
            return
        try:
            waiting = [request for request in self._tombstones.unfinished() if request.id not in self._done]
            if waiting and self._settle():
                for request in waiting:
                    for day in days_with(self._hot, self._kind, request):
                        log.info("hot store forgets %s of %s: erasure %s", self._kind, day, request.id)
                        self._forget(day)
                    self._done.add(request.id)
        except StoreError as error:
            self._not_before_s = self._clock() + PAUSE_S
            log.warning("days with erased records cannot leave the hot store yet: %s", error)
