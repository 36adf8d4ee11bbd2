"""Forgetting: erasures that are under way -> days with such records leave the hot store; reads take the lake for them.

The flow does it for the days that its writer has open, as the embedded hot store admits one process. The lake commits
first: what it has is visible without the hot store. While one of the two is away or being fed, the flow waits with it.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable

from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from lakehouse.lake.erasure_requests import Request, Tombstones, days_with

PAUSE_S = 5.0

log = logging.getLogger("headwater.flows")


class Forgetting:
    """Looked at on every write and tick, which costs a look at a clock.

    Args:
        settle: Makes the hot store, then the lake commit; False: one of them cannot now.
        forget: One day, by the writer; False: it cannot now.
    """

    def __init__(
        self,
        kind: Kind,
        hot: HotStore,
        tombstones: Tombstones,
        settle: Callable[[], bool],
        forget: Callable[[dt.date], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind, self._hot, self._tombstones = kind, hot, tombstones
        self._settle, self._forget = settle, forget
        self._settled: set[str] = set()  # erasures since whose beginning both stores have committed
        self._clock, self._not_before_s = clock, 0.0

    def __call__(self) -> None:
        """Do what is to do. What cannot be done now is tried again after a pause."""
        if self._clock() < self._not_before_s:
            return
        try:
            for request in self._tombstones.unfinished():
                self._not_before_s = self._clock() + PAUSE_S  # again until it ends: batches that passed before may come
                self._look_after(request)
        except StoreError as error:
            self._not_before_s = self._clock() + PAUSE_S
            log.warning("days with erased records cannot leave the hot store yet: %s", error)

    def _look_after(self, request: Request) -> None:
        if request.id not in self._settled and not self._settle():
            return
        self._settled.add(request.id)
        for day in days_with(self._hot, self._kind, request):
            if self._settle() and self._forget(day):
                log.info("hot store forgets %s of %s: erasure %s", self._kind, day, request.id)
