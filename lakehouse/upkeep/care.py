"""Care: settings and a clock -> the lake's tables and the hot store, opened for upkeep."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from contracts.batches import arrival_day
from contracts.hot import HotStore
from contracts.settings import Settings
from lakehouse import open_hot, open_lake
from lakehouse.delta.table import Delta
from lakehouse.lake.store import Lake
from lakehouse.s3.store import writing_options


@dataclass(frozen=True)
class Care:
    """Opens stores at their first use. Not thread-safe.

    Attributes:
        now_ns: Unix nanoseconds UTC; tests pass their own clock.
    """

    settings: Settings
    now_ns: Callable[[], int] = time.time_ns

    def today(self) -> dt.date:
        """The open day. Upkeep never changes this day or a later one (the clock may have jumped back)."""
        return arrival_day(self.now_ns())

    def table(self, name: str) -> Delta:
        """A new handle of a lake table, to write."""
        return Delta(self.settings.lake, name, writing_options(self.settings.lake, self.settings))

    @cached_property
    def lake(self) -> Lake:
        return open_lake(self.settings.lake, self.settings)

    @cached_property
    def hot(self) -> HotStore:
        return open_hot(self.settings.hot, self.settings)

    def close(self) -> None:
        """Close the stores that were opened. Idempotent."""
        for name in ("hot", "lake"):
            if (opened := self.__dict__.pop(name, None)) is not None:
                opened.close()
