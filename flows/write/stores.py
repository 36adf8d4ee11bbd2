"""Stores: the last step of a flow: batches -> hot store and lake, each in a lane of its own (`lanes`).

The lake's commit makes the hot store commit first, unless that is away or slow. A hot store that is behind the lake is
being fed (`catching_up`), or has lost something (its folder, or a commit to a stop); reads can tell
(`lakehouse.read.search`).

Each worker has writers of its own, for the bus partitions that the engine gave it: their checkpoints and transactions
go by partition, so that writers never touch each other's, and any number of workers may take over at the next start.
"""

# ruff: noqa: ARG002  the engine says which arguments `build` takes

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable
from typing import cast

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from contracts.messages import Kind
from flows.arrivals import Item
from flows.connections import Connections
from flows.parse.batch import Parse
from flows.write.catching_up import Feeding, HotFeed, LakeFeed, Late
from flows.write.dead_letters import DeadLetterWriter
from flows.write.forgetting import Forgetting
from flows.write.lanes import Lane
from flows.write.sinks import HotPart, LakePart
from lakehouse import check_workers


class StoreSink(DynamicSink[Item]):
    """The hot store (not of dead letters), the Delta table of `kind` and the ledger; `dead` gets what fits no table.

    Args:
        parse: Of `kind`, for what is read a second time.
    """

    def __init__(
        self, connections: Connections, kind: Kind, stop: threading.Event, dead: DeadLetterWriter, parse: Parse
    ) -> None:
        self._connections, self._kind, self._stop, self._dead = connections, kind, stop, dead
        self._parse = parse

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StoresPart:
        """The stores of one worker, which their lanes open.

        Raises:
            ConfigError: The hot store does not admit so many.
        """
        kind, connections = self._kind, self._connections
        check_workers(connections.settings.hot, worker_count)
        late = Late()
        means = Feeding(connections, kind, self._stop, self._parse, late)
        if kind is Kind.DEAD_LETTERS:
            return StoresPart(None, self._lane("lake", self._open_lake, LakeFeed(means)), late)
        lanes: list[Lane] = []
        lake = self._lane("lake", lambda: self._open_lake(lambda: lanes[0].settle()), LakeFeed(means))
        lanes.append(self._lane("hot store", self._open_hot, HotFeed(means, lake)))
        stores = StoresPart(lanes[0], lake, late)
        stores.look = Forgetting(kind, connections.hot, connections.known_tombstones, stores.settle, stores.forget)
        return stores

    def _lane(self, store: str, open_part: Callable[[], HotPart | LakePart], feed: HotFeed | LakeFeed) -> Lane:
        settings = self._connections.settings
        is_near = "://" not in settings.lake if isinstance(feed, LakeFeed) else settings.hot.startswith("tantivy:")
        return Lane(f"{store} of {self._kind}", open_part, feed, self._stop, settings.store_patience_s, is_near)

    def _open_hot(self) -> HotPart:
        store, settings = self._connections.hot, self._connections.settings
        return HotPart(
            lambda: store.writer(self._kind), settings.hot_commit_s, self._stop, patience_s=settings.store_patience_s
        )

    def _open_lake(self, before_commit: Callable[[], object] | None = None) -> LakePart:
        store, settings = self._connections.lake, self._connections.settings
        part = LakePart(
            lambda: store.writer(self._kind),
            settings.lake_commit_s,
            self._stop,
            self._dead,
            functools.partial(self._connections.trim, self._kind),
            patience_s=settings.store_patience_s,
        )
        if before_commit is not None:
            part.go_after(before_commit)
        return part


class StoresPart(StatelessSinkPartition[Item]):
    """Both stores, the hot one first; `hot` None: the lake alone.

    Attributes:
        look: Called before each write.
    """

    def __init__(self, hot: Lane | None, lake: Lane, late: Late | None = None) -> None:
        self._lanes = [lake] if hot is None else [hot, lake]
        self._late = late or Late()
        self.look: Callable[[], object] = lambda: None

    def settle(self) -> bool:
        """Commit all that was given; False: a store is behind, or slow."""
        return all(lane.settle() for lane in self._lanes)

    def forget(self, day: dt.date) -> bool:
        """Let the hot store's writer forget a day; False: as `settle`."""
        return self._lanes[0].do(lambda part: cast(HotPart, part).forget(day))

    def write_batch(self, items: list[Item]) -> None:
        self.look()
        self._late.saw(items)
        for lane in self._lanes:
            lane.put(items)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
