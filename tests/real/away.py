"""Load on Kafka, OpenSearch and S3 while one of the stores is away -> how far each of them lags, second by second.

The flow is a process of its own; load goes straight to the bus. Arrival times are moved so that midnight falls into the
run (UTC).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from contracts.errors import StoreError
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.query import All, RecordQuery, Term
from contracts.tenants import Tenant
from lakehouse.read.search import Search
from tests.e2e.stack import Stack
from tests.flows.running import World
from tests.waiting import until

TENANT = Tenant("default")
BATCH = 200
PRODUCERS = 8
CAUGHT_UP_S = 900.0
DAY_S = 86_400
USUAL_S = {"hot": 2.0, "lake": 12.0}  # lag of a store that has caught up; the lake commits every ten seconds


@dataclass(slots=True)
class Phase:
    """The largest lag in seconds of each store in one part of the run, and how long it took to catch up after it."""

    name: str
    seconds: float = 0.0
    hot_s: float = 0.0
    lake_s: float = 0.0
    caught_up_s: float = 0.0
    rss_mib: int = 0


@dataclass(slots=True)
class Load(threading.Thread):
    """`rate` records a second, in batches of `BATCH`, each record named by its producer and number."""

    world: World
    rate: int
    midnight_in_s: float
    sent: int = 0  # records of each producer
    times: dict[int, list[tuple[int, float]]] = field(default_factory=dict)  # by partition: offset, when it was sent

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)
        self.ended, self.lock = threading.Event(), threading.Lock()
        now_s = time.time()
        self.shift_ns = int(((now_s // DAY_S + 1) * DAY_S - now_s - self.midnight_in_s) * 1e9)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        began_s, turns = time.monotonic(), 0
        while not self.ended.wait(max(0.0, began_s + turns * BATCH * PRODUCERS / self.rate - time.monotonic())):
            for producer in range(PRODUCERS):
                self._send(f"p{producer}", self.sent)
            self.sent += BATCH
            turns += 1

    def _send(self, producer: str, first: int) -> None:
        bodies = (f'{{"body": "{producer}-{first + number} of load"}}' for number in range(BATCH))
        payload = "\n".join(bodies).encode()
        header = BatchHeader(
            tenant=TENANT,
            kind=Kind.LOGS,
            producer=producer,
            sequence=first,
            count=BATCH,
            span=BATCH,
            received_ns=time.time_ns() + self.shift_ns,
            size_bytes=len(payload),
        )
        bus, topic = self.world.connections.bus, Kind.LOGS.topic
        (offset,) = bus.append(topic, header.stream_key, [Message(payload, to_headers(header))])
        with self.lock:
            part = bus.partition_for(topic, header.stream_key)
            self.times.setdefault(part, []).append((offset, time.monotonic()))

    def lag_s(self, done: Mapping[int, int]) -> float:
        """How long the first message that a store lacks has waited."""
        now_s, oldest_s = time.monotonic(), time.monotonic()
        with self.lock:
            for part, sent in self.times.items():
                oldest_s = min(oldest_s, next((at for offset, at in sent if offset >= done.get(part, 0)), now_s))
        return now_s - oldest_s

    def ends(self) -> dict[int, int]:
        with self.lock:
            return {part: sent[-1][0] + 1 for part, sent in self.times.items()}


class Away:
    """One run. `phases` is its table."""

    def __init__(self, folder: Path, rate: int, midnight_in_s: float, **settings: Any) -> None:
        self.stack = Stack(folder, **settings)
        self.stack.define("flow", "flows")
        self.world = World(folder, hot_commit_s=0.5, lake_commit_s=10, **settings)
        self.load = Load(self.world, rate, midnight_in_s)
        self.phases: list[Phase] = []
        self._known: dict[str, Mapping[int, int]] = {"hot": {}, "lake": {}}
        self._asking = {name: threading.Thread(target=self._ask, args=(name,), daemon=True) for name in self._known}
        self._ended = threading.Event()
        self.stack.start("flow")
        for thread in (*self._asking.values(), self.load):
            thread.start()
        until(lambda: self.load.sent, "load", 120)

    def _ask(self, name: str) -> None:
        """A store that hangs keeps nobody from seeing the other one's lag."""
        while not self._ended.wait(0.25):
            with contextlib.suppress(StoreError):
                self._known[name] = getattr(self.world.connections, name).checkpoints(Kind.LOGS)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Watch the lags until the block ends; then wait until both stores have what was sent in it, and have caught up
        with what was sent meanwhile: the next phase begins with its own lags."""
        phase, over = Phase(name), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(phase, over))
        began_s = time.monotonic()
        watcher.start()
        try:
            yield phase
        finally:
            over.set()
            watcher.join()
        phase.seconds, ended_s, ends = time.monotonic() - began_s, time.monotonic(), self.load.ends()
        for store in self._known:
            self.wait_for(store, ends)
        until(lambda: all(self._lag_s(store) < USUAL_S[store] for store in USUAL_S), "usual lags", CAUGHT_UP_S, 0.1)
        phase.caught_up_s = time.monotonic() - ended_s
        self.phases.append(phase)
        print(f"{phase}", flush=True)

    def _watch(self, phase: Phase, over: threading.Event) -> None:
        while not over.wait(0.2):
            phase.hot_s = max(phase.hot_s, self._lag_s("hot"))
            phase.lake_s = max(phase.lake_s, self._lag_s("lake"))
            with contextlib.suppress(psutil.Error, KeyError):
                rss = psutil.Process(self.stack._running["flow"].pid).memory_info().rss
                phase.rss_mib = max(phase.rss_mib, rss >> 20)

    def _lag_s(self, store: str) -> float:
        return self.load.lag_s(self._known[store])

    def wait_for(self, store: str, ends: Mapping[int, int] | None = None) -> None:
        """Until it has what was sent (by now)."""
        wanted = ends or self.load.ends()
        until(
            lambda: all(self._known[store].get(part, 0) >= end for part, end in wanted.items()),
            f"{store} having what was sent",
            CAUGHT_UP_S,
            0.1,
        )

    def search(self, body: str) -> tuple[int, bool]:
        """How many records say `body`, and whether the answer is partial."""
        connections = self.world.connections
        query = RecordQuery(Kind.LOGS, Term("body", body), None, None, 10)
        page = Search(connections.hot, connections.lake, self.world.settings).records(TENANT, query)
        return len(page.records), page.partial

    def end(self) -> None:
        """No more load; both stores have all."""
        self.load.ended.set()
        self.load.join()
        for store in self._known:
            self.wait_for(store)

    def close(self) -> None:
        self._ended.set()
        self.load.ended.set()
        self.stack.close()
        self.world.connections.close()

    def faults(self, erased: int = 0) -> list[str]:
        """What is missing or doubled, [] for nothing."""
        expected = self.load.sent * PRODUCERS - erased
        hot = self.world.connections.hot
        place = "bus_partition * 1000000000000000 + bus_offset * 1000 + bus_index"
        (sums,) = self.world.lake_rows(
            columns=f"count(*) AS n, count(DISTINCT body) AS bodies, count(DISTINCT {place}) AS places"
        )
        days = sorted(row["day"] for row in self.world.lake_rows(columns="DISTINCT day"))
        counts = {
            "lake rows": sums["n"],
            "places in the lake": sums["places"],
            "bodies in the lake": sums["bodies"],
            "hot rows": hot.count(TENANT, Kind.LOGS, All(), None, None, hot.days(Kind.LOGS)),
        }
        found = [f"{name}: {count} instead of {expected}" for name, count in counts.items() if count != expected]
        if list(hot.days(Kind.LOGS)) != days:
            found.append(f"hot answers for {hot.days(Kind.LOGS)} of {days}")
        return found

    def table(self) -> str:
        head = f"{'phase':44} {'s':>6} {'hot lag s':>10} {'lake lag s':>11} {'caught up s':>12} {'flow MiB':>9}"
        lines = [
            f"{each.name:44} {each.seconds:6.0f} {each.hot_s:10.1f} {each.lake_s:11.1f}"
            f" {each.caught_up_s:12.1f} {each.rss_mib:9}"
            for each in self.phases
        ]
        return "\n".join([head, *lines])
