"""Connections: settings -> bus, hot store and lake, opened once a process and when they are first needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from bus import open_bus
from contracts.bus import Bus
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse import open_hot, open_lake
from lakehouse.lake import Lake


class Connections:
    """Cheap to make; a worker opens what it builds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def bus(self) -> Bus:
        return open_bus(self.settings.bus, self.settings)

    @cached_property
    def hot(self) -> HotStore:
        return open_hot(self.settings.hot, self.settings)

    @cached_property
    def lake(self) -> Lake:
        return open_lake(self.settings.lake, self.settings)

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """Where a flow starts: the smallest checkpoint of its sinks by partition; an absent one is 0."""
        lake = self.lake.checkpoints(kind)
        if kind is Kind.DEAD_LETTERS:
            return dict(lake)
        hot = self.hot.checkpoints(kind)
        return {partition: min(lake[partition], hot[partition]) for partition in lake.keys() & hot.keys()}

    def trim(self, kind: Kind) -> None:
        """Let the bus forget, by its settings, what every sink has."""
        self.bus.trim(kind.topic, self.checkpoints(kind))

    def close(self) -> None:
        """Let go of what was opened. Idempotent."""
        for name in ("hot", "lake", "bus"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
