"""The parameter `tiers`: what it takes, what it binds, and that an account holds while days move and records go."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts.messages import ERASED, Kind
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.removal import remove
from lakehouse.upkeep.archive.moves import archive_day, archive_table, day_sql
from lakehouse.upkeep.care import Care
from query_api.account import account
from tests.query_api.world import NOW, OURS, SECOND, World, event, log, metric

DAY = dt.date(2026, 1, 1)


@pytest.fixture
def care(world: World) -> Iterator[Care]:
    opened = Care(world.settings, lambda: NOW + 3 * 86_400 * SECOND)
    yield opened
    opened.close()


@pytest.fixture
def client(world: World, care: Care) -> httpx.Client:
    """One log, event and metric, all moved to the archive; one log more in the lake."""
    world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("old")])])
    world.land(Kind.EVENTS, [world.send(Kind.EVENTS, [event("deploy")])])
    world.land(Kind.METRICS, [world.send(Kind.METRICS, [metric("load", 2.0)])])
    for kind in (Kind.LOGS, Kind.EVENTS, Kind.METRICS):
        archive_day(care, kind, DAY)
    world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("late")])])
    return world.client(with_hot=False)


def get(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bodies(answer: dict[str, Any]) -> set[str]:
    return {record["body"] for record in answer["records"]}


def test_each_tier_answers_when_it_is_asked_for(client: httpx.Client) -> None:
    default = get(client, "/logs/search")
    assert (bodies(default), default["partial"]) == ({"late"}, False)
    assert default["tiers"]["archive"] | {"took_ms": 0} == {
        "rows": 0,
        "days": ["2026-01-01"],
        "took_ms": 0,
        "error": "",
        "skipped": True,
    }
    assert bodies(get(client, "/logs/search", tiers="archive")) == {"old"}
    for text in ("all", "hot,lake,archive", " Archive , lake "):
        assert bodies(get(client, "/logs/search", tiers=text)) == {"old", "late"}
    assert len(get(client, "/events/search", tiers="all")["records"]) == 1
    span = {"start": str(NOW - SECOND), "end": str(NOW + SECOND)}
    assert get(client, "/services", **span, tiers="all")["services"][0]["logs"] == 2
    assert get(client, "/metrics/query", **span, name="load", tiers="all")["series"][0]["points"][0][1] == 2.0
    assert get(client, "/metrics/query", **span, name="load")["series"] == []


@pytest.mark.parametrize("path", ["/logs/search", "/events/search", "/services", "/metrics/query?name=x"])
def test_a_tier_that_does_not_exist_is_refused_with_the_ones_that_do(client: httpx.Client, path: str) -> None:
    answer = client.get(path + ("&" if "?" in path else "?") + "tiers=hot,cold")
    assert (answer.status_code, answer.json()["code"], answer.json()["parameter"]) == (400, "bad_tiers", "tiers")
    assert '"cold" is not a tier: use hot, lake, archive or all' in answer.json()["detail"]


def test_a_cursor_belongs_to_its_tiers(client: httpx.Client) -> None:
    cursor = get(client, "/logs/search", tiers="all", limit=1)["next_cursor"]
    assert len(get(client, "/logs/search", tiers="lake,archive,hot", limit=1, cursor=cursor)["records"]) == 1
    assert client.get("/logs/search", params={"cursor": cursor, "limit": 1}).json()["code"] == "bad_cursor"


def test_the_account_holds_at_every_instant_of_moves_and_removals(world: World, care: Care) -> None:
    for number in range(6):
        letters = 1 if number % 2 else 0
        world.land(Kind.LOGS, [world.send(Kind.LOGS, [log(f"{number}-{n}") for n in range(5)], rejects=letters)])
    world.send(Kind.DEAD_LETTERS, [], rejects=3)
    enough, wrong, looks = threading.Event(), [], [0]

    def look() -> None:
        while not enough.is_set():
            entry = next(each for each in account(world.bus, world.lake, OURS) if each.kind is Kind.LOGS)
            if entry.difference or entry.received != 33:
                wrong.append(entry)
            looks[0] += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        remove(care.table("logs"), "body = '0-0'", ERASED)
        archive_day(care, Kind.LOGS, DAY)
        remove(archive_table(care, Kind.LOGS), day_sql(DAY), RETENTION)
        while looks[0] < 3 and thread.is_alive():
            enough.wait(0.05)
    finally:
        enough.set()
        thread.join()
    assert wrong == []
    entry = next(each for each in account(world.bus, world.lake, OURS) if each.kind is Kind.LOGS)
    assert (entry.visible, entry.dropped, entry.dead_lettered) == (0, {"erased": 1, "retention": 29}, 3)
