"""An erased subject on Kafka, OpenSearch and S3: in no index and no object, and Kafka's replay brings nothing back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakehouse.delta.schemas import ERASURES
from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests import storage
from tests.flows.running import World
from tests.headwater.commands.test_erase import gone, replay
from tests.headwater.erasing import (
    KINDS,
    MARKER,
    OTHERS,
    QUICK,
    ask,
    bodies,
    filled,
    kept,
    places,
    read_payload,
    run,
    running,
)
from tests.real.opensearch_calls import Calls
from tests.real.pointing import settings_of

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def world(kafka: Kafka, opensearch: OpenSearch, s3: S3, tmp_path: Path) -> Iterator[World]:
    values = settings_of(kafka, opensearch, s3)
    values["archive_url"] = f"{values['lake_url']}-archive"
    filled(tmp_path, **values)
    opened = World(tmp_path, **QUICK, **values)
    yield opened
    opened.connections.close()


@pytest.fixture
def hits(opensearch: OpenSearch) -> Callable[[World, str], int]:
    """Documents, of any index of a world, that hold a text."""

    def counted(world: World, marker: str) -> int:
        calls, indexes = Calls(opensearch.endpoint), f"/{world.settings.opensearch_prefix}-*"
        calls.call("POST", f"{indexes}/_refresh")
        found = calls.get(f"{indexes}/_search?size=10000")["hits"]
        assert found["total"]["value"] == len(found["hits"])
        return sum(marker in json.dumps(document) for document in found["hits"])

    return counted


def on_bus(world: World, marker: str) -> int:
    """Messages of any topic that hold a text."""
    count = 0
    for kind in KINDS:
        for partition, extent in world.connections.bus.extents(kind.topic).items():
            with contextlib.closing(world.connections.bus.reader(kind.topic, partition, extent.first_offset)) as reader:
                while messages := reader.poll(1000):
                    count += sum(marker.encode() in read_payload(message.payload) for message in messages)
    return count


def test_nothing_of_the_subject_is_left_but_on_kafka_and_no_replay_brings_it_back(
    world: World, opensearch: OpenSearch, hits: Callable[[World, str], int]
) -> None:
    assert bodies(world) == kept(MARKER)
    assert places(world)
    assert hits(world, MARKER) > 0

    with running(world) as ended:
        facts = run(world, ask(world), no_flows=False)
        assert not ended.is_set()

    gone(world)
    assert hits(world, MARKER) == 0
    assert hits(world, OTHERS) > 0
    assert facts["bus"]["logs.raw"]["kept_until_ns"] > time.time_ns()  # said in the receipt, as it is still there
    assert on_bus(world, MARKER) > 0

    _lose_the_stores(world, opensearch)
    replay(world)

    gone(world)
    assert hits(world, MARKER) == 0


def _lose_the_stores(world: World, opensearch: OpenSearch) -> None:
    """All that is not Kafka's, but for what was erased; and the flows build it anew."""
    world.connections.close()
    for tier in storage.TIERS:
        storage.remove(world.settings, tier, ERASURES)
    Calls(opensearch.endpoint).call("DELETE", f"/{world.settings.opensearch_prefix}-*")
    world.reopen()
    world.run(*KINDS)
