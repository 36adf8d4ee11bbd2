"""Stores: the last step of a flow: batches -> hot store, then lake.

The lake's commit makes the hot store commit first: a hot store that is behind the lake has then lost something (its
folder, or a commit to a stop), and reads can tell (`lakehouse.read.search`).

Each worker has writers of its own, for the bus partitions that the engine gave it: their checkpoints and transactions
go by partition, so that writers never touch each other's, and any number of workers may take over at the next start.
"""

# ruff: noqa: ARG002  the engine says which arguments `build` takes

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from contracts.messages import Kind
from flows.arrivals import Item
from flows.connections import Connections
from flows.write.dead_letters import DeadLetterWriter
from flows.write.forgetting import Forgetting
from flows.write.sinks import HotPart, LakePart
from lakehouse import check_workers


class StoreSink(DynamicSink[Item]):
    """The hot store (not of dead letters), the Delta table of `kind` and the ledger; `dead` gets what fits no table."""

    def __init__(self, connections: Connections, kind: Kind, stop: threading.Event, dead: DeadLetterWriter) -> None:
        self._connections, self._kind, self._stop, self._dead = connections, kind, stop, dead

    def build(self, step_id: str, worker_index: int, worker_count: int) -> LakePart | StoresPart:
        """The stores of one worker.

        Raises:
            ConfigError: The hot store does not admit so many.
        """
        kind, settings = self._kind, self._connections.settings
        check_workers(settings.hot, worker_count)
        lake_store = self._connections.lake
        trim = functools.partial(self._connections.trim, kind)
        lake = LakePart(lambda: lake_store.writer(kind), settings.lake_commit_s, self._stop, self._dead, trim)
        if kind is Kind.DEAD_LETTERS:
            return lake
        hot_store = self._connections.hot
        hot = HotPart(lambda: hot_store.writer(kind), settings.hot_commit_s, self._stop)
        stores = StoresPart(hot, lake)
        stores.look = Forgetting(kind, hot_store, self._connections.tombstones, stores.settle, hot.forget)
        return stores


class StoresPart(StatelessSinkPartition[Item]):
    """Both stores, the hot one first.

    Attributes:
        look: Called before each write.
    """

    def __init__(self, hot: HotPart, lake: LakePart) -> None:
        self._hot, self._lake = hot, lake
        self.look: Callable[[], object] = lambda: None
        lake.go_after(hot.settle)

    def settle(self) -> bool:
        """Both have all that they were given; False: told to stop before that worked."""
        self._hot.settle()
        return self._lake.settle()

    def write_batch(self, items: list[Item]) -> None:
        self.look()
        self._hot.write_batch(items)
        self._lake.write_batch(items)

    def close(self) -> None:
        self._hot.close()
        self._lake.close()
