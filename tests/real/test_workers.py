"""Several workers on real engines: partitions are shared out; another number of them loses and doubles nothing."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import BusError
from contracts.messages import Kind
from query_api.account import Ledgers, take
from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests.children import Child
from tests.flows.messages import TENANT, line, message
from tests.flows.running import World
from tests.flows.test_processes import start
from tests.ports import free_port
from tests.real.pointing import settings_of
from tests.waiting import until

PARTITIONS = 4
PRODUCERS = 12
KINDS = (Kind.LOGS, Kind.DEAD_LETTERS)


class Workers:
    """A world on engines, and how its flow is started."""

    def __init__(self, world: World, settings: dict[str, str]) -> None:
        self.world, self.settings = world, settings
        self.sent = 0
        self.started: list[Child] = []

    def start(self, *arguments: str) -> Child:
        self.started.append(start(self.world, "flows", *arguments, **self.settings))
        return self.started[-1]

    def send(self, rounds: int) -> None:
        """One batch of each producer a round, and the batch before it again; and a line that cannot be used."""
        for number in range(self.sent, self.sent + rounds):
            self.world.append(message([b"no json"], producer="bad", sequence=number))
            for producer in range(PRODUCERS):
                for sequence in {max(number - 1, 0), number}:
                    record = line(f"p{producer}-{sequence}")
                    self.world.append(message([record], producer=f"p{producer}", sequence=sequence))
        self.sent += rounds

    def landed(self) -> int:
        sql = "SELECT count(*) AS n FROM logs"
        return int(self.world.connections.lake.snapshot(Kind.LOGS).query(sql).to_pylist()[0]["n"])

    def wait_for(self, rounds: int) -> None:
        until(lambda: self.landed() >= rounds * PRODUCERS, f"{rounds} rounds in the lake")

    def catch_up(self) -> None:
        def caught_up() -> bool:
            with contextlib.suppress(BusError):  # leaders move for a moment on a busy machine
                return not self.world.behind(KINDS)
            return False

        until(caught_up, "catching up")

    def check(self) -> None:
        """Each record once in both stores, and in the account."""
        self.world.reopen()
        everything = {f"p{producer}-{number}" for producer in range(PRODUCERS) for number in range(self.sent)}
        connections = self.world.connections
        rows = connections.lake.snapshot(Kind.LOGS).query("SELECT body FROM logs").to_pylist()
        assert Counter(row["body"] for row in rows) == dict.fromkeys(everything, 1) == self.world.hot_bodies()
        letters = connections.lake.snapshot(Kind.DEAD_LETTERS).query("SELECT payload FROM dead_letters").to_pylist()
        assert [bytes(row["payload"]) for row in letters] == [b"no json"] * self.sent
        entries = take(Ledgers(connections.bus, connections.lake, connections.hot, TENANT), TENANT)
        logs = next(entry for entry in entries if entry.kind is Kind.LOGS)
        assert (logs.visible, logs.dead_lettered) == (len(everything), self.sent)
        assert [(entry.in_flight, entry.difference) for entry in entries] == [(0, 0)] * len(entries)


def end(process: Child) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def on(folder: Path, *engines: Kafka | OpenSearch | S3) -> Iterator[Workers]:
    settings = {**settings_of(*engines), "bus_partitions": str(PARTITIONS)}
    world = World(folder, **settings)
    workers = Workers(world, settings)
    yield workers
    for process in workers.started:
        process.kill()
        process.wait()
    world.connections.close()


@pytest.fixture
def workers(kafka: Kafka, opensearch: OpenSearch, s3: S3, tmp_path: Path) -> Iterator[Workers]:
    """On all three engines."""
    yield from on(tmp_path, kafka, opensearch, s3)


@pytest.fixture
def mixed(opensearch: OpenSearch, tmp_path: Path) -> Iterator[Workers]:
    """Only the hot store elsewhere: the least that several workers need."""
    yield from on(tmp_path, opensearch)


def test_every_number_of_workers_goes_on_where_the_one_before_stopped(workers: Workers) -> None:
    for number in ("2", "4", "1", "3"):
        workers.send(5)
        process = workers.start("--workers", number)
        workers.send(5)
        workers.wait_for(workers.sent - 3)
        end(process)
    workers.send(1)
    process = workers.start("--workers", "6")  # more than there are partitions
    workers.catch_up()
    end(process)

    workers.check()


def test_killed_and_started_with_another_number_nothing_is_lost_or_doubled(workers: Workers) -> None:
    for number in ("4", "2", "1", "4"):
        workers.send(5)
        process = workers.start("--workers", number)
        workers.wait_for(workers.sent - 3)
        workers.send(5)
        process.kill()
        process.wait()
    workers.world.run(*KINDS)

    workers.check()


def test_a_partition_is_committed_by_one_worker_alone(mixed: Workers) -> None:
    mixed.send(3)
    process = mixed.start("--workers", "2")
    mixed.wait_for(3)
    for _ in range(4):
        mixed.send(3)
        mixed.wait_for(mixed.sent)
    mixed.catch_up()
    end(process)

    mixed.check()
    by_commit = [partitions for path in log_of(mixed) if (partitions := moved(path))]
    groups = {frozenset(group) for group in by_commit}
    sharing = [set().union(*(other for other in groups if other & group)) for group in groups]
    assert {frozenset(group) for group in sharing} == {frozenset({0, 2}), frozenset({1, 3})}


def log_of(workers: Workers) -> list[Path]:
    return sorted(Path(workers.world.settings.lake, "logs", "_delta_log").glob("*.json"))


def moved(commit: Path) -> set[int]:
    """Bus partitions whose offset a commit of the table moved."""
    actions = [json.loads(text) for text in commit.read_text().splitlines()]
    names = [str(action["txn"]["appId"]).removeprefix("logs:") for action in actions if "txn" in action]
    return {int(name) for name in names if name != "partitions"}


def test_two_flows_on_the_same_partitions_by_mistake_double_nothing(workers: Workers) -> None:
    both = [workers.start("--workers", number) for number in ("1", "2")]
    for _ in range(4):
        workers.send(8)
        workers.wait_for(workers.sent - 4)
    workers.catch_up()
    for process in both:
        end(process)
    workers.world.run(*KINDS)  # the slower of both may have repeated dead letters, which wait on the bus now

    workers.check()


def test_of_a_cluster_of_processes_all_end_when_one_is_killed_and_go_on_together(workers: Workers) -> None:
    addresses = f"127.0.0.1:{free_port()};127.0.0.1:{free_port()}"
    cluster = [workers.start("-w", "2", "-i", str(place), "-a", addresses) for place in range(2)]
    workers.send(8)
    workers.wait_for(4)
    cluster[0].kill()
    assert cluster[1].wait(30) == 1
    workers.send(8)
    cluster = [workers.start("-w", "1", "-i", str(place), "-a", addresses) for place in range(2)]
    workers.catch_up()
    for process in cluster:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(30) for process in cluster] == [0, 0]

    workers.check()
