"""`GET /logs/search` through the real application: pages, filters, tenants, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts.messages import Kind
from contracts.tenants import Role
from tests.query_api.world import NOW, OURS, SECOND, THEIRS, World, log


def search(client: httpx.Client, **params: Any) -> dict[str, Any]:
    response = client.get("/logs/search", params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert not answer["partial"], answer["tiers"]
    return answer


def bodies(client: httpx.Client, **params: Any) -> list[str]:
    return sorted(record["body"] for record in search(client, **params)["records"])


def pages(client: httpx.Client, **params: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        answer = search(client, **params, **({"cursor": cursor} if cursor else {}))
        yield answer["records"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def refusal(client: httpx.Client, **params: Any) -> dict[str, Any]:
    response = client.get("/logs/search", params=params)
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert response.status_code == told["status"]
    return told


def test_a_record_is_answered_by_its_public_names(world: World) -> None:
    row = log("a b", NOW + 1000, attributes={"user.id": 7, "ratio": float("nan")}, trace_id="t1", span_id="s1")
    world.store(Kind.LOGS, [row])
    (record,) = search(world.client())["records"]
    assert len(record.pop("id")) == 32
    assert record == {
        "timestamp": "2026-01-01T00:00:00.000001Z",
        "observed_timestamp": "2026-01-01T00:00:00.000000Z",
        "severity_text": "INFO",
        "severity_number": 9,
        "service": "shop",
        "env": "prod",
        "host": "web-1",
        "body": "a b",
        "attributes": {"user.id": 7, "ratio": None},
        "trace_id": "t1",
        "span_id": "s1",
    }


def test_an_answer_says_where_it_came_from(world: World) -> None:
    world.store(Kind.LOGS, [log("a")])
    answer = search(world.client())
    assert (answer["next_cursor"], answer["partial"]) == (None, False)
    assert answer["took_ms"] > 0
    assert answer["tiers"]["hot"]["rows"] == 1
    assert answer["tiers"]["hot"]["days"] == ["2026-01-01"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("with_hot", [True, False])
def test_5000_records_of_one_instant_come_once_each_while_more_arrive(world: World, order: str, with_hot: bool) -> None:
    for start in range(0, 5000, 1000):
        batch = world.send(Kind.LOGS, [log(f"n{start + n}") for n in range(1000)])
        world.land(Kind.LOGS, [batch])
        if with_hot:
            world.index(Kind.LOGS, [batch])
    seen: list[dict[str, Any]] = []
    for number, records in enumerate(pages(world.client(with_hot=with_hot), order=order, limit=700, start="now-1d")):
        seen += records
        if number < 3:
            late = world.send(Kind.LOGS, [log("late"), log("later", NOW + SECOND), log("early", NOW - SECOND)])
            world.land(Kind.LOGS, [late])
            if with_hot:
                world.index(Kind.LOGS, [late])
    found = [record["body"] for record in seen if record["body"].startswith("n")]
    assert sorted(found) == sorted(f"n{n}" for n in range(5000))
    assert len({record["id"] for record in seen}) == len(seen)
    times = [record["timestamp"] for record in seen]
    assert times == sorted(times, reverse=order == "desc")


def test_relative_times_mean_the_same_on_every_page(world: World) -> None:
    world.store(Kind.LOGS, [log(f"n{n}", NOW - n * SECOND) for n in range(10)])
    client = world.client()
    found: list[dict[str, Any]] = []
    for records in pages(client, start="now-5s", end="now", q="timestamp:<=now", limit=2):
        found += records
        world.now_ns += 3 * SECOND
    assert [record["body"] for record in found] == [f"n{n}" for n in range(1, 6)]


def test_the_start_is_inclusive_and_the_end_exclusive(world: World) -> None:
    world.store(Kind.LOGS, [log(f"n{n}", NOW + n * SECOND) for n in range(5)])
    client = world.client()
    found = bodies(client, start="2026-01-01T00:00:01Z", end=str(NOW // SECOND + 3))
    assert found == ["n1", "n2"]
    assert bodies(client, start="now+4s") == ["n4"]
    assert bodies(client, start="0001-01-01T00:00:00Z", end="9999-12-31T23:59:59Z") == [f"n{n}" for n in range(5)]
    assert bodies(client, end="0001-01-01T00:00:00Z") == []
    assert bodies(client, start="9999-12-31T23:59:59Z") == []


def test_filters_narrow_and_their_values_are_alternatives(world: World) -> None:
    rows = [
        log("a", service="cart", env="prod", host="h1", severity_number=17),
        log("b", service="cart", env="test", host="h2", severity_number=13),
        log("c", service="pay", env="prod", host="h2", severity_number=9),
        log("d", service="pay*", env="prod", host="h3", severity_number=21),
    ]
    world.store(Kind.LOGS, rows)
    client = world.client()
    assert bodies(client, service="cart") == ["a", "b"]
    assert bodies(client, service=["cart", "pay"]) == ["a", "b", "c"]
    assert bodies(client, service="cart", env="prod") == ["a"]
    assert bodies(client, service="pay*") == ["d"]
    assert bodies(client, host=["h1", "h3"], q="d OR c") == ["d"]
    assert bodies(client, level="error") == ["a"]
    assert bodies(client, level=">=warn") == ["a", "b", "d"]
    assert bodies(client, level=["info", "fatal"]) == ["c", "d"]
    assert bodies(client, q="level:<error -host:h1", service="", level="") == ["b", "c"]
    assert bodies(client, q="NOT a") == ["b", "c", "d"]


def test_a_tenant_never_sees_another(world: World) -> None:
    world.store(Kind.LOGS, [log("mine")])
    world.store(Kind.LOGS, [log(f"yours {n}") for n in range(3)], THEIRS)
    ours, theirs = world.client(), world.client(THEIRS)
    for q in ("", "*:*", "tenant:theirs OR mine", "NOT zebra", "yours OR mine", "tenant:* OR service:*"):
        assert bodies(ours, q=q) == ["mine"]
    cursor = search(theirs, limit=1)["next_cursor"]
    assert refusal(ours, limit=1, cursor=cursor)["code"] == "bad_cursor"
    assert refusal(ours, tenant="theirs")["code"] == "unknown_parameter"


def test_only_a_key_that_may_read_is_answered(world: World) -> None:
    assert search(world.client(role=Role.ADMIN))["records"] == []
    assert refusal(world.client(role=Role.INGEST))["code"] == "wrong_role"
    client = world.client()
    client.headers["X-API-Key"] = "nobody"
    assert refusal(client)["code"] == "unknown_key"


def test_a_mistake_in_the_query_is_shown_in_place(world: World) -> None:
    told = refusal(world.client(), q="level:error AND (service:shop")
    assert (told["status"], told["code"], told["position"]) == (400, "query_syntax", 16)
    assert told["snippet"] == "level:error AND (service:shop\n                ^"
    assert 'this "(" is never closed' in told["detail"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"q": "a~2"}, "query_unsupported"),
        ({"q": "x" * 3000}, "query_too_long"),
        ({"q": "(" * 2000}, "query_too_deep"),
        ({"q": "a " * 300}, "query_too_many_clauses"),
        ({"q": "level:x"}, "query_bad_value"),
        ({"level": "x"}, "bad_value"),
        ({"start": "soon"}, "bad_time"),
        ({"end": "2026-02-30"}, "bad_time"),
        ({"start": "now", "end": "now-1h"}, "bad_range"),
        ({"limit": "10001"}, "limit_too_large"),
        ({"cursor": "x"}, "bad_cursor"),
        ({"sevice": "shop"}, "unknown_parameter"),
        ({"service": ["x"] * 300}, "too_many_filters"),
        ({"limit": "0"}, "invalid_request"),
        ({"limit": "many"}, "invalid_request"),
        ({"order": "up"}, "invalid_request"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_code(world: World, params: dict[str, Any], code: str) -> None:
    told = refusal(world.client(), **params)
    assert told["code"] == code
    assert told["status"] in (400, 422)


@pytest.mark.parametrize(
    "change", [{"q": "a"}, {"order": "asc"}, {"service": "shop"}, {"level": "info"}, {"start": "now-1h"}]
)
def test_a_cursor_belongs_to_its_query(world: World, change: dict[str, str]) -> None:
    world.store(Kind.LOGS, [log("a"), log("a"), log("a")])
    client = world.client()
    cursor = search(client, limit=1)["next_cursor"]
    assert refusal(client, limit=1, cursor=cursor, **change)["code"] == "bad_cursor"
    assert len(search(client, limit=2, cursor=cursor)["records"]) == 2
    assert client.get("/events/search", params={"cursor": cursor}).json()["code"] == "bad_cursor"


def test_a_page_of_nothing_is_the_last(world: World) -> None:
    assert search(world.client(OURS)) | {"took_ms": 0, "tiers": {}} == {
        "records": [],
        "next_cursor": None,
        "partial": False,
        "tiers": {},
        "took_ms": 0,
    }
