"""`GET /logs/tail` over a real OpenSearch, which is paused on the way."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.engines.opensearch import OpenSearch
from tests.query_api.tailing import Service, served
from tests.query_api.world import World
from tests.real.opensearch_calls import Calls
from tests.waiting import until

pytestmark = pytest.mark.engines


@pytest.fixture
def service(opensearch: OpenSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    prefix = f"t{secrets.token_hex(4)}"
    monkeypatch.setenv("HEADWATER_HOT_URL", str(opensearch.url))
    monkeypatch.setenv("HEADWATER_OPENSEARCH_PREFIX", prefix)
    world = World(tmp_path)
    try:
        with served(world) as made:
            yield made
    finally:
        world.close()
        Calls(opensearch.endpoint).call("DELETE", f"/{prefix}-*")


def test_every_id_of_a_tail_goes_on_behind_its_record_and_late_records_are_shown(service: Service) -> None:
    tail = service.tail(q="NOT nothing").begun()
    first_id = tail.id
    for number in range(4):
        service.arrive(*(f"{number}-{line}" for line in range(3)), partition=number % 2, at_ns=number * 10**9)
    every = tail.wait_for(12)
    for passed, last_id in enumerate([first_id, *(event.id for event in tail.events if event.name == "")]):
        with contextlib.closing(service.tail(last_id).begun()) as again:
            assert sorted(again.wait_for(12 - passed)) == sorted(every[passed:])


def test_a_paused_engine_is_told_and_what_arrived_follows(service: Service, opensearch: OpenSearch) -> None:
    tail = service.tail().begun()
    service.arrive("1")
    tail.wait_for(1)
    opensearch.node.pause()
    try:
        until(lambda: tail.named("away"), "the absence being told", 60)
    finally:
        opensearch.node.resume()
    service.arrive("2")
    assert tail.wait_for(2) == ["1", "2"]
    until(lambda: tail.named("back"), "the return being told")
