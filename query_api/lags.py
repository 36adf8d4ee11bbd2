"""Lags: bus and checkpoints -> how many accepted messages each store lacks, by kind, also while the store is away.

For a store that does not answer, its last known checkpoints are used, so its lag grows with the bus. `latest` never
waits for a store: the stores are asked on a separate thread, at most every `LOOK_S`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contracts.bus import Bus
from contracts.errors import BusError, OffsetExpired, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from query_api.places import by_places

if TYPE_CHECKING:
    from lakehouse.lake.store import Lake

LOOK_S = 10.0
_READS, _READ_PAUSE_S = 10, 0.02  # of a reader that has not heard of its partition yet

log = logging.getLogger("headwater.query")


@dataclass(frozen=True, slots=True)
class StoreLag:
    """Of one store and kind.

    Attributes:
        store: "hot" or "lake".
        messages: On the bus, after the store's checkpoint; one message is one accepted request. If the bus no longer
            holds the checkpoint, the store lacks more records than these, and takes them from the lake.
        seconds: Since the first of these messages was accepted; 0.0 if there are none.
        answers: True if the store gave its checkpoints; false if its last known checkpoints were used.
    """

    store: str
    kind: Kind
    messages: int
    seconds: float
    answers: bool = True


class StoreLags(Collector):
    """Thread-safe."""

    def __init__(self, bus: Bus, lake: Lake, hot: HotStore | None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._bus, self._lake, self._hot, self._now_ns = bus, lake, hot, now_ns
        self._done: dict[tuple[str, Kind], Mapping[int, int]] = {}
        self._by_places: dict[Kind, Bus] = {}
        self._lock = threading.Lock()  # one look at a time
        self._found: Sequence[StoreLag] = ()
        self._looked_s = -LOOK_S

    def look(self) -> Sequence[StoreLag]:
        """Ask bus and stores now. Blocks; leaves out a store that does not answer and never answered before."""
        with self._lock:
            found: list[StoreLag] = []
            for kind in Kind:
                with contextlib.suppress(BusError, StoreError):
                    found += self._of_kind(kind)
            self._found = found
            return found

    def latest(self) -> Sequence[StoreLag]:
        """The lags of the last `look`; starts another one in the background when they are `LOOK_S` old."""
        if time.monotonic() - self._looked_s >= LOOK_S and not self._lock.locked():
            self._looked_s = time.monotonic()
            threading.Thread(target=self.look, name="look at lags", daemon=True).start()
        return self._found

    def _of_kind(self, kind: Kind) -> Iterator[StoreLag]:
        stores: dict[str, Callable[[Kind], Mapping[int, int]]] = {"lake": self._lake.checkpoints}
        if self._hot is not None and kind is not Kind.DEAD_LETTERS:
            stores["hot"] = self._hot.checkpoints
        answering = {name for name, ask in stores.items() if self._ask(name, kind, ask)}
        known = [self._done[name, kind] for name in stores if (name, kind) in self._done]
        with contextlib.suppress(StoreError):
            self._by_places[kind] = by_places(self._bus, self._lake, kind, known)
        if kind not in self._by_places:
            return
        times: dict[tuple[int, int], int] = {}
        for name in stores:
            if (name, kind) in self._done:
                messages, oldest_ns = self._behind(kind, self._done[name, kind], times)
                seconds = max(0.0, (self._now_ns() - oldest_ns) / 1e9) if oldest_ns else 0.0
                yield StoreLag(name, kind, messages, round(seconds, 3), name in answering)

    def _ask(self, name: str, kind: Kind, ask: Callable[[Kind], Mapping[int, int]]) -> bool:
        try:
            self._done[name, kind] = dict(ask(kind))
        except StoreError as error:
            log.debug("the %s store did not give its checkpoints, the last known ones are used: %s", name, error)
            return False
        return True

    def _behind(self, kind: Kind, done: Mapping[int, int], times: dict[tuple[int, int], int]) -> tuple[int, int]:
        """How many messages, and when the first was stored (0: none, or not known)."""
        bus, messages, oldest = self._by_places[kind], 0, list[int]()
        for partition, extent in bus.extents(kind.topic).items():
            first = max(done.get(partition, 0), extent.first_offset)
            if first >= extent.next_offset:
                continue
            messages += extent.next_offset - first
            if (partition, first) not in times:
                times[partition, first] = _appended_ns(bus, kind, partition, first)
            oldest += [times[partition, first]] if times[partition, first] else []
        return messages, min(oldest, default=0)

    def collect(self) -> Iterator[Metric]:
        """For /metrics."""
        found = self.latest()
        families = {
            "messages": GaugeMetricFamily(
                "headwater_store_lag_messages", "Messages on the bus that a store lacks.", labels=["store", "kind"]
            ),
            "seconds": GaugeMetricFamily(
                "headwater_store_lag_seconds", "Age of the first message that a store lacks.", labels=["store", "kind"]
            ),
            "answers": GaugeMetricFamily(
                "headwater_store_answers", "Whether a store says where it stands: 1, or 0.", labels=["store", "kind"]
            ),
        }
        for lag in found:
            for name, family in families.items():
                family.add_metric([lag.store, lag.kind.value], float(getattr(lag, name)))
        yield from families.values()


def _appended_ns(bus: Bus, kind: Kind, partition: int, offset: int) -> int:
    with contextlib.suppress(OffsetExpired), contextlib.closing(bus.reader(kind.topic, partition, offset)) as reader:
        for _ in range(_READS):
            if messages := reader.headers(1):
                return messages[0].appended_ns
            time.sleep(_READ_PAUSE_S)
    return 0
