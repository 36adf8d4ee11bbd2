"""The flow as a process over a lake on S3 that is away: it waits and says so, goes on by itself, and ends when told."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.messages import Kind
from scripts.engines import s3 as engines
from scripts.engines.s3 import S3
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.flows.test_processes import start
from tests.real.s3_lake import eventually, place_on
from tests.waiting import until

SEED = 20261124
KILLS = 4


@pytest.fixture
def own(tmp_path: Path) -> Iterator[S3]:
    """A server that may be killed and stopped."""
    if reason := engines.missing():
        pytest.skip(f"s3: {reason}")
    with engines.running(home=tmp_path / "s3") as engine:
        yield engine


@pytest.fixture
def names(own: S3, tmp_path: Path) -> dict[str, str]:
    """Settings of a flow on a new lake."""
    place = place_on(own, tmp_path)
    return {
        "lake_url": place.url,
        "s3_endpoint": own.endpoint,
        "s3_access_key": own.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": own.environment["AWS_SECRET_ACCESS_KEY"],
        "s3_query_timeout_s": "1",
        "s3_write_timeout_s": "2",
    }


@pytest.fixture
def world(names: dict[str, str], tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, **names)
    yield world
    world.connections.close()


def send(world: World, first: int, end: int) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(first, end)))


def landed(world: World) -> tuple[int, int]:
    """Rows and distinct rows."""
    sql = "SELECT count(*) AS n, count(DISTINCT body) AS bodies FROM logs"
    (row,) = eventually(lambda: world.connections.lake.snapshot(Kind.LOGS).query(sql).to_pylist())
    return row["n"], row["bodies"]


def test_away_at_the_start_the_flow_waits_says_so_and_takes_all(
    own: S3, world: World, names: dict[str, str], tmp_path: Path
) -> None:
    own.node.stop()
    send(world, 0, 20)
    process = start(world, "flows", **names)
    log = tmp_path / "flow.log"
    until(lambda: "next try in" in log.read_text(), "a word about waiting")
    assert "S3 cannot be reached" in log.read_text()
    assert "HEADWATER_S3_ENDPOINT" in log.read_text()
    own.node.start()
    until(lambda: landed(world) == (20, 20), "every row")
    process.send_signal(signal.SIGTERM)

    assert process.wait(15) == 0
    assert names["s3_secret_key"] not in log.read_text()


def test_told_to_end_while_s3_is_away_it_ends_and_the_next_start_takes_the_rest(
    own: S3, world: World, names: dict[str, str], tmp_path: Path
) -> None:
    process = start(world, "flows", **names)
    send(world, 0, 10)
    until(lambda: landed(world) == (10, 10), "every row")
    own.node.kill()
    send(world, 10, 20)
    until(lambda: "next try in" in (tmp_path / "flow.log").read_text(), "a word about waiting")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    own.node.start()
    process = start(world, "flows", **names)
    until(lambda: landed(world) == (20, 20), "every row")
    process.send_signal(signal.SIGTERM)

    assert process.wait(15) == 0


def test_flow_and_server_killed_in_turn_each_row_is_there_once(own: S3, world: World, names: dict[str, str]) -> None:
    chance = random.Random(SEED)
    sent = 0
    process = start(world, "flows", **names)
    for round_ in range(KILLS):
        before = landed(world)
        send(world, sent, sent + 40)
        sent += 40
        until(lambda seen=before: landed(world) != seen, "progress")  # type: ignore[misc]  # mypy types no default
        time.sleep(chance.uniform(0, 0.4))
        if round_ % 2:
            process.kill()
            process.wait()
            process = start(world, "flows", **names)
        else:
            own.node.kill()
            time.sleep(chance.uniform(0, 0.5))
            own.node.start()
    send(world, sent, sent + 1)  # only the last process can take it: it has begun, and ends as told
    sent += 1
    until(lambda: landed(world)[1] == sent, "every row")
    process.send_signal(signal.SIGTERM)

    assert process.wait(15) == 0
    assert landed(world) == (sent, sent)
    total = world.ledger()
    assert (total.received, total.landed, total.lost) == (sent, sent, 0)
