"""The crash scenario on Kafka, OpenSearch and S3: also the engines are killed and paused, and workers rescaled."""

from __future__ import annotations

import collections
import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.engines.kafka import Kafka
from scripts.engines.node import Node
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests.e2e.scenario import PARTS, Crash
from tests.real.pointing import delta_options, settings_of
from tests.waiting import until

PARTITIONS = 4
AWAY_S = (0.3, 4.0)
PAUSE_S = 0.15  # what is in OpenSearch's translog is replayed when it starts again: more load is more waiting
ENGINES = ("kafka", "opensearch", "s3")
KINDS = (
    *(f"kill {name}" for name in (*PARTS, *ENGINES)),
    *(f"pause {name}" for name in ENGINES),
    "rescale",
    "rescale by force",
)


@dataclass(frozen=True)
class Engines:
    """Three brokers, one node, one server: a test's own, as it kills them."""

    kafka: Kafka
    opensearch: OpenSearch
    s3: S3


def plan(rng: random.Random, count: int) -> list[str]:
    """`count` faults in random order; each kind once, when there are so many."""
    faults = [*KINDS, *rng.choices(KINDS, k=max(0, count - len(KINDS)))]
    rng.shuffle(faults)
    return faults[:count]


class Promise(Crash):
    """One run of the scenario; `faults()` is [] when the guarantee held. `done` counts what was broken, by kind."""

    def __init__(self, folder: Path, seed: int, engines: Engines, sabotage: str = "") -> None:
        settings = {**settings_of(engines.kafka, engines.opensearch, engines.s3), "bus_partitions": str(PARTITIONS)}
        quick = {
            "opensearch_write_timeout_s": "5",
            "s3_connect_timeout_s": "1",
            "s3_query_timeout_s": "2",
            "s3_write_timeout_s": "4",
            "ingest_breaker_open_s": "1",
        }
        super().__init__(folder, seed, sabotage, PAUSE_S, **settings, **quick)
        self.lake_options = delta_options(settings)
        self.done: collections.Counter[str] = collections.Counter()
        self._engines = engines
        self._workers = 0
        self._take_workers(2)

    def _take_workers(self, number: int) -> None:
        self._workers = number
        self.stack.define("flow", "flows", ["--workers", str(number)])

    def break_things(self, count: int, work_s: tuple[float, float] = (0.5, 3.0)) -> None:
        """Load, `count` faults with some work between them, then the end of the load."""
        self.begin_load()
        for fault in plan(self.rng, count):
            time.sleep(self.rng.uniform(*work_s))
            begun_s = time.monotonic()
            self._break(fault)
            self.done[fault] += 1
            print(f"{fault}: {time.monotonic() - begun_s:.1f} s", flush=True)
            if self.rng.random() < 0.5:
                self.stack.wait_ready()
        self.end_load()

    def _break(self, fault: str) -> None:
        verb, _, name = fault.partition(" ")
        if verb == "rescale":
            self._rescale(by_force=bool(name))
        elif name in PARTS:
            self.kill(name)
        elif verb == "kill":
            node = self._node(name)
            self._away(node.kill, node.start)
        else:
            node = self._node(name)
            self._away(node.pause, node.resume)

    def _node(self, engine: str) -> Node:
        if engine != "kafka":
            return self._engines.opensearch.node if engine == "opensearch" else self._engines.s3.node
        # One broker of three may be away, not a second one while the first has not caught up.
        until(self._engines.kafka.in_sync, "every broker being in sync")
        return self.rng.choice(self._engines.kafka.nodes)

    def _away(self, leave: Callable[[], None], come_back: Callable[[], None]) -> None:
        """An engine is away for a while, in which one of ours may be killed, too."""
        leave()
        time.sleep(self.rng.uniform(*AWAY_S))
        if self.rng.random() < 0.4:
            self.kill(self.rng.choice(PARTS))
        come_back()

    def _rescale(self, by_force: bool) -> None:
        """2 workers become 4, or 4 become 2."""
        try:
            code = self.stack.stop("flow", 0.0 if by_force else 20.0)
            assert code in (0, -15), self.stack.log("flow")  # -15: it had not begun
        except subprocess.TimeoutExpired:
            self.stack.kill("flow")
        self._take_workers(6 - self._workers)
        self.stack.start("flow")
