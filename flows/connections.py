"""Connections: settings -> bus, hot store and lake, each opened once per process, at its first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bus import open_bus
from contracts.bus import Bus
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse import open_hot, open_lake
from lakehouse.lake.store import Lake

if TYPE_CHECKING:
    from lakehouse.lake.erasure_requests import Tombstones

T = TypeVar("T", Bus, HotStore, Lake)


class Connections:
    """The constructor opens nothing. Thread-safe: the workers of a process share one object."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opening = threading.Lock()
        self._opened: dict[str, Bus | HotStore | Lake] = {}
        self._tombstones: Tombstones | None = None
        self._known_tombstones: Tombstones | None = None
        self.starts: dict[tuple[Kind, int], Any] = {}  # by kind and partition: `flows.read.places.Start`
        self.landed: dict[Kind, Mapping[int, int]] = {}  # the lake's checkpoints at the first start of a kind

    @property
    def bus(self) -> Bus:
        return self._once("bus", lambda: open_bus(self.settings.bus, self.settings))

    @property
    def hot(self) -> HotStore:
        return self._once("hot", lambda: open_hot(self.settings.hot, self.settings))

    @property
    def lake(self) -> Lake:
        return self._once("lake", lambda: open_lake(self.settings.lake, self.settings))

    @property
    def tombstones(self) -> Tombstones:
        """Erasures whose records must not be stored again; all workers share this object and its reads of the lake."""
        with self._opening:
            if self._tombstones is None:
                from lakehouse.lake.erasure_requests import Tombstones

                self._tombstones = Tombstones(self.settings.lake, self.settings)
            return self._tombstones

    @property
    def known_tombstones(self) -> Tombstones:
        """As `tombstones`, for the reader of the flow: a lake that does not answer must not stop the reader."""
        with self._opening:
            if self._known_tombstones is None:
                from lakehouse.lake.erasure_looks import KnownTombstones

                self._known_tombstones = KnownTombstones(self.settings.lake, self.settings)
            return self._known_tombstones

    def _once(self, name: str, open_: Callable[[], T]) -> T:
        with self._opening:
            if name not in self._opened:
                self._opened[name] = open_()
            return cast(T, self._opened[name])

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """The smallest checkpoint of the stores of `kind`, by partition; a partition that is absent is at 0."""
        lake = self.lake.checkpoints(kind)
        if kind is Kind.DEAD_LETTERS:
            return dict(lake)
        hot = self.hot.checkpoints(kind)
        return {partition: min(lake[partition], hot[partition]) for partition in lake.keys() & hot.keys()}

    def trim(self, kind: Kind) -> None:
        """Apply the bus's retention settings to messages that the lake has. A bus that was not read yet is not trimmed.
        A hot store that lacks removed messages is fed from the lake."""
        done = self.lake.checkpoints(kind)
        bases = self.lake.bases(kind, self.bus.identity(kind.topic), done)
        own = {partition: offset - (bases[partition].own or 0) for partition, offset in done.items()}
        read = {each: offset for each, offset in own.items() if bases[each].own is not None and offset > 0}
        self.bus.trim(kind.topic, read)

    def close(self) -> None:
        """Close all open connections. Idempotent."""
        with self._opening:
            opened, self._opened = self._opened, {}
        for name in ("hot", "lake", "bus"):
            if name in opened:
                opened[name].close()
