"""Resources: the settings of the environment and a clock -> what assets, schedules and sensors work with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

import bus
from contracts.bus import Bus
from contracts.settings import Settings, load_settings
from lakehouse.upkeep.care import Care


class Upkeep(dg.ConfigurableResource):
    """The tables of every tier, the hot store and the bus. Opens a store at its first use.

    Attributes:
        overrides: Settings that override the environment, for tests.
        clock_ns: Fixed time for tests, Unix nanoseconds UTC; 0 is the machine's clock.
    """

    overrides: dict[str, Any] = {}  # noqa: RUF012  (pydantic copies it)
    clock_ns: int = 0

    def settings(self) -> Settings:
        return load_settings(**self.overrides)

    def now_ns(self) -> int:
        return self.clock_ns or time.time_ns()

    @contextlib.contextmanager
    def care(self) -> Iterator[Care]:
        with contextlib.closing(Care(self.settings(), self.now_ns)) as care:
            yield care

    @contextlib.contextmanager
    def bus(self) -> Iterator[Bus]:
        settings = self.settings()
        with contextlib.closing(bus.open_bus(settings.bus, settings)) as queue:
            yield queue
