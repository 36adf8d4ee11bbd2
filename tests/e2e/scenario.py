"""The crash scenario: senders and a tailed file under load -> kills at seeded moments -> drain -> faults found."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from agents import read_status
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from contracts.tenants import Role, tenant_named
from lakehouse import open_hot
from tests.e2e.oracle import Oracle, tally
from tests.e2e.proxy import Proxy
from tests.e2e.senders import KeyedClient, PlainClient, Producer, Sender, Stranger
from tests.e2e.stack import Stack, account, pages
from tests.waiting import until

CUT_SHARE = 0.03
PARTS = ("api", "flow", "agent")


class Writer(threading.Thread):
    """Writes the oracle's lines into a file that the agent tails, and rotates it by renaming."""

    def __init__(self, oracle: Oracle, path: Path, pause_s: float) -> None:
        super().__init__(name="file", daemon=True)
        self._pause_s = pause_s
        self.oracle = oracle
        self.stopping = threading.Event()
        self._path = path
        self._rng = random.Random(oracle.seed)
        self.written = 0

    def run(self) -> None:
        rotations = 0
        while not self.stopping.is_set():
            count = self._rng.randrange(1, 80)
            bodies = self.oracle.bodies("file", self.written, count)
            with self._path.open("a") as file:
                file.write("".join(f"{body}\n" for body in bodies))
            self.oracle.acknowledge(bodies)  # on the file is a promise: the agent must bring it home
            self.written += count
            if self._rng.random() < 0.03:
                rotations += 1
                self._path.rename(self._path.with_suffix(f".{rotations}"))
            self.stopping.wait(self._pause_s)


class Crash:
    """One run of the scenario; `faults()` is [] when the guarantee held. Embedded, where `settings` do not say more.

    `pause_s` is between the batches of a sender, of which there are two in a hurry and a file.
    """

    def __init__(self, folder: Path, seed: int, sabotage: str = "", pause_s: float = 0.02, **settings: Any) -> None:
        self.rng = random.Random(seed)
        self.oracle = Oracle(seed)
        usual = {"lake_commit_s": 2, "hot_commit_s": 0.3, "idempotency_h": 24, "bus_partitions": 2}
        self.stack = Stack(folder, sabotage, **{**usual, **settings})
        self.lake_options: Mapping[str, str] = {}  # of a plain Delta reader
        self.proxy = Proxy(self.stack.port, CUT_SHARE, seed)
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._define()
        key = self.stack.keys[Role.INGEST]
        self.senders: list[Sender] = [
            Producer("producer", self.oracle, self.proxy.port, key, pause_s),
            KeyedClient("keyed", self.oracle, self.proxy.port, key, pause_s),
            PlainClient("plain", self.oracle, self.proxy.port, key, pause_s=0.1),
            Stranger("stranger", self.oracle, self.proxy.port, key, pause_s=0.5),
        ]
        self.writer = Writer(self.oracle, self.logs / "app.log", pause_s)
        self.kills = 0

    def _define(self) -> None:
        stack = self.stack
        stack.define("api", "headwater.supervision.serve", HEADWATER_PORT=str(stack.port))
        stack.define("flow", "flows")
        stack.define(
            "agent",
            "agents",
            ["logs", "--path", str(self.logs / "app.*"), "--service", "crash", "--env", "test"],
            HEADWATER_INGEST_URL=f"http://127.0.0.1:{self.proxy.port}",
            HEADWATER_API_KEY=stack.keys[Role.INGEST],
            HEADWATER_AGENT_DIR=str(stack.folder / "agent"),
            HEADWATER_AGENT_RETRY_MAX_S="1",
        )

    def run(self, kills: int) -> None:
        """Load, `kills` times SIGKILL to a random victim after a random time of work, then the end of the load.

        A start takes a second or two: some kills hit a process that is still starting.
        """
        self.begin_load()
        for _ in range(kills):
            time.sleep(self.rng.uniform(0.2, 2.0))
            self.kill(self.rng.choice(PARTS))
            if self.rng.random() < 0.5:
                self.stack.wait_ready()
        self.end_load()

    def run_broken(self, victim: str) -> None:
        """As `run`, of a stack with a sabotage: one kill, of a service at work, and all is at rest at the end.

        Raises:
            AssertionError: Records are still in flight, so that what is missing would say nothing.
        """
        self.begin_load()
        time.sleep(self.rng.uniform(3.0, 5.0))
        self.kill(victim)
        self.end_load()
        assert self.drain(240), f"still in flight\n{self.stack.log('flow')}"

    def kill(self, victim: str) -> None:
        """SIGKILL to one of `PARTS`, which is started again a moment later."""
        self.stack.kill(victim)
        self.kills += 1
        time.sleep(self.rng.uniform(0.0, 0.3))
        self.stack.start(victim)

    def begin_load(self) -> None:
        for name in PARTS:
            self.stack.start(name)
        self.stack.wait_ready()
        for thread in (*self.senders, self.writer):
            thread.start()

    def end_load(self) -> None:
        """What was begun is brought to its end."""
        self.stack.wait_ready()
        threads: list[Sender | Writer] = [*self.senders, self.writer]
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} does not come to an end\n{self.stack.log('api')}"
        for sender in self.senders:
            if sender.failure:
                raise sender.failure

    def drain(self, timeout_s: float = 60) -> bool:
        """Until the file's lines have arrived and nothing is in flight, for some looks in a row; whether they did."""
        with self.stack.client() as client:
            calm = 0

            def settled() -> bool:
                nonlocal calm
                self.stack.revive()
                entry = account(client)
                arrived = bool(entry) and entry["in_flight"] == 0 and entry["received"] > 0
                calm = calm + 1 if arrived and not self._agent_is_behind() else 0
                return calm >= 5

            with contextlib.suppress(AssertionError):  # what did not arrive is named by faults()
                return bool(until(settled, "draining", timeout_s, every_s=0.4))
            return False

    def _agent_is_behind(self) -> bool:
        status = read_status(self.stack.folder / "agent" / "logs")
        return status is None or bool(status.buffered_records or status.behind_bytes)

    def faults(self) -> list[str]:
        with self.stack.client() as client:
            rest = tally(record["body"] for record in pages(client, limit="5000"))
            entry = account(client)
        found = self.oracle.faults("REST", rest)
        found += self.oracle.faults("hot", tally(self._hot_bodies()))
        found += self.oracle.faults("lake", tally(self._lake_bodies()))
        if entry["difference"] or entry["in_flight"]:
            found.append(f"conservation: {entry}")
        return found

    def _hot_bodies(self) -> list[str]:
        hot = open_hot(self.stack.settings.hot, self.stack.settings)
        query = RecordQuery(Kind.LOGS, All(), None, None, 1_000_000)
        rows = hot.search(tenant_named("default"), query, hot.days(Kind.LOGS))
        hot.close()
        return [str(row.fields["body"]) for row in rows]

    def _lake_bodies(self) -> list[str]:
        table = DeltaTable(f"{self.stack.settings.lake}/logs", storage_options=dict(self.lake_options))
        answer = QueryBuilder().register("logs", table).execute("SELECT body FROM logs")
        return [str(body) for body in pa.RecordBatchReader.from_stream(answer).read_all().column("body").to_pylist()]

    def close(self) -> None:
        self.stack.close()
        self.proxy.close()
