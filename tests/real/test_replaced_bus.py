"""A Kafka topic that is deleted and made again under the stores: every acknowledged record is there once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bytewax.errors import BytewaxRuntimeError

from contracts.messages import Kind
from scripts.engines.kafka import Kafka
from tests.children import Child
from tests.flows.messages import TENANT
from tests.flows.read.test_places import NEW, OLD, after_the_note, before_the_note, check, numbered, once
from tests.flows.running import World
from tests.real.kafka_topics import Topics

LOGS = Kind.LOGS.topic
ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 90.0


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


@pytest.fixture
def world(topics: Topics, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, bus_url=topics.url, foreign_tenant=TENANT)
    try:
        yield made
    finally:
        made.connections.close()


def replace(world: World, topics: Topics) -> None:
    """Delete the topic; who opens the bus next makes it again at its first use."""
    world.connections.close()
    topics.delete(LOGS)
    world.reopen()


@pytest.mark.parametrize("new", [3, NEW])
def test_a_topic_that_was_made_again_while_no_flow_ran_is_read_whole(world: World, topics: Topics, new: int) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    replace(world, topics)
    world.append(*numbered("new", 0, new), key="k")
    world.run()
    world.append(*numbered("new", new, new + 5), key="k")
    world.run()

    check(world, once("old", 0, OLD) + once("new", 0, new + 5))


def test_a_crash_on_the_way_changes_nothing(world: World, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    replace(world, topics)
    world.append(*numbered("new", 0, NEW), key="k")

    for crash in (before_the_note, after_the_note):
        with monkeypatch.context() as patch:
            crash(patch)
            with pytest.raises(BytewaxRuntimeError):
                world.run()
        world.reopen()
    world.run()

    check(world, once("old", 0, OLD) + once("new", 0, NEW))


def flow(world: World) -> Child:
    """`python -m flows` as a supervisor starts it."""
    settings = world.settings
    values = {
        "DATA_DIR": settings.data_dir,
        "BUS_URL": settings.bus,
        "FOREIGN_TENANT": TENANT,
        "HOT_COMMIT_S": "0.05",
        "LAKE_COMMIT_S": "0.2",
    }
    env = {**os.environ, **{f"HEADWATER_{name}": str(value) for name, value in values.items()}}
    with (settings.data_dir.parent / "flow.log").open("ab") as log:
        return Child("flows", env=env, loads=["flows.embedded"], output=log)


def until_in_the_lake(world: World, count: int, process: Child) -> Child:
    """The process that runs then: one that ends is started again, as a supervisor does."""
    deadline = time.monotonic() + WAIT_S
    while world.lake_bodies().total() < count:
        assert time.monotonic() < deadline, (world.settings.data_dir.parent / "flow.log").read_text()[-4000:]
        if process.poll() is not None:
            assert process.returncode == 1
            process = flow(world)
        time.sleep(0.2)
    return process


def test_a_running_flow_whose_topic_is_replaced_under_it_ends_and_the_next_one_reads_all(
    world: World, topics: Topics
) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    process = flow(world)
    try:
        world.append(*numbered("old", OLD, OLD + 5), key="k")
        process = until_in_the_lake(world, OLD + 5, process)
        replace(world, topics)
        world.append(*numbered("new", 0, NEW), key="k")
        process = until_in_the_lake(world, OLD + 5 + NEW, process)
    finally:
        process.terminate()
        assert process.wait(20) == 0

    check(world, once("old", 0, OLD + 5) + once("new", 0, NEW))
    assert "was lost and made anew while it was read" in (world.settings.data_dir.parent / "flow.log").read_text()
