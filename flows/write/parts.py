"""Part: what a lane needs of the sink of one store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flows.arrivals import Item


class Part(Protocol):
    """A sink of one store, from its opening to the first thing that it gave up. Used by one thread."""

    @property
    def halted(self) -> bool: ...

    def checkpoints(self) -> Mapping[int, int]: ...

    def write_batch(self, items: list[Item]) -> None: ...

    def settle(self) -> object: ...

    def due_s(self) -> float | None: ...

    def let_go(self) -> None: ...

    def close(self) -> None: ...
