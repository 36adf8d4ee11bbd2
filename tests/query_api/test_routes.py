"""Events, metrics, services, conservation and health through the real application."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from contracts.messages import Kind
from tests.query_api.world import NOW, SECOND, THEIRS, World, event, log, metric


def ask(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    response = client.get(path, params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def code(client: httpx.Client, path: str, **params: Any) -> str:
    response = client.get(path, params=params)
    assert response.status_code in (400, 422), response.text
    return str(response.json()["code"])


def test_events_are_found_by_name_and_text(world: World) -> None:
    world.store(Kind.EVENTS, [event("deploy", version="1.2"), event("scale", NOW + SECOND)])
    world.store(Kind.EVENTS, [event("deploy", version="9")], THEIRS)
    client = world.client()
    assert [found["name"] for found in ask(client, "/events/search")["records"]] == ["scale", "deploy"]
    assert [found["name"] for found in ask(client, "/events/search", order="asc", limit=1)["records"]] == ["deploy"]
    (found,) = ask(client, "/events/search", name="deploy", q="version:1.2 happened")["records"]
    assert found["attributes"] == {"version": "1.2"}


def test_a_metric_is_answered_as_series(world: World) -> None:
    rows = [metric("load", float(n), NOW + n * 10 * SECOND, f"h{n % 2}") for n in range(12)]
    world.store(Kind.METRICS, [*rows, metric("other", 99.0)])
    world.store(Kind.METRICS, [metric("load", 1000.0)], THEIRS)
    client = world.client()
    span = {"name": "load", "start": "now", "end": "now+2m", "step": "1m"}
    answer = ask(client, "/metrics/query", **span, agg="sum")  # of one value a host: the average of its three
    assert answer["series"] == [{"labels": {}, "points": [[NOW // 10**6, 5.0], [NOW // 10**6 + 60_000, 17.0]]}]
    answer = ask(client, "/metrics/query", **span, agg="sum", per_series="sum")
    assert answer["series"] == [{"labels": {}, "points": [[NOW // 10**6, 15.0], [NOW // 10**6 + 60_000, 51.0]]}]
    assert not answer["partial"]
    grouped = ask(client, "/metrics/query", **span, agg="count", group_by="host,env")["series"]
    assert sorted(series["labels"]["host"] for series in grouped) == ["h0", "h1"]
    assert grouped[0]["labels"]["env"] == "prod"
    filtered = ask(client, "/metrics/query", **span, agg="max", host="h0", q="value:<9")["series"]
    assert filtered == [{"labels": {}, "points": [[NOW // 10**6, 4.0], [NOW // 10**6 + 60_000, 8.0]]}]


def test_a_sum_that_no_number_holds_is_null_and_warned_of(world: World) -> None:
    world.store(Kind.METRICS, [metric("load", 1.5e308, host=host) for host in ("h0", "h1")])
    answer = ask(world.client(), "/metrics/query", name="load", agg="sum", start="now", end="now+1m", step="1m")
    assert answer["series"] == [{"labels": {}, "points": [[NOW // 10**6, None]]}]
    assert "1 point is null" in answer["warnings"][0]
    right = ask(world.client(), "/metrics/query", name="load", agg="max", start="now", end="now+1m", step="1m")
    assert (right["series"][0]["points"], right["warnings"]) == ([[NOW // 10**6, 1.5e308]], [])


def test_a_range_without_time_in_between_names_the_end_of_the_day(world: World) -> None:
    for path, more in (("/logs/search", {}), ("/metrics/query", {"name": "load"}), ("/services", {})):
        answer = world.client().get(path, params={"start": "2025-12-31", "end": "2025-12-31", **more})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_range")
        assert "end=2026-01-01" in answer.json()["detail"]


def test_a_metric_is_asked_for_the_last_hour_by_default(world: World) -> None:
    world.store(Kind.METRICS, [metric("load", 1.0, NOW - 3599 * SECOND), metric("load", 5.0, NOW - 3601 * SECOND)])
    ((series,),) = [ask(world.client(), "/metrics/query", name="load", agg="max")["series"]]
    assert [value for _, value in series["points"]] == [1.0]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "invalid_request"),
        ({"name": "load", "agg": "median"}, "invalid_request"),
        ({"name": "load", "step": "1s", "start": "now-30d"}, "too_many_points"),
        ({"name": "load", "step": "10ms"}, "bad_step"),
        ({"name": "load", "start": "now", "end": "now"}, "bad_range"),
        ({"name": "load", "start": "now+1h"}, "bad_range"),
        ({"name": "load", "start": "2025-12-31", "end": "2025-12-31"}, "bad_range"),
        ({"name": "load", "start": "9999-12-31", "end": "9999-12-31"}, "bad_range"),
        ({"name": "load", "agg": "rate", "per_series": "last"}, "query_bad_value"),
        ({"name": "load", "agg": "sum", "per_series": "p95"}, "invalid_request"),
        ({"name": "load", "q": "word"}, "query_bad_field"),
        ({"name": "load", "group_by": "a,b,c,d,e,f,g,h,i"}, "too_many_groups"),
    ],
)
def test_what_cannot_be_asked_of_a_metric_is_refused(world: World, params: dict[str, str], expected: str) -> None:
    assert code(world.client(), "/metrics/query", **params) == expected


def test_a_metric_may_be_asked_from_year_1_to_year_9999(world: World) -> None:
    world.store(Kind.METRICS, [metric("load", 1.0)])
    span = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T00:00:00Z"}
    (series,) = ask(world.client(), "/metrics/query", name="load", agg="count", **span)["series"]
    assert [value for _, value in series["points"]] == [1.0]


def test_services_are_listed_with_their_rates(world: World) -> None:
    rows = [log(f"n{n}", NOW - n * SECOND, severity_number=17 if n < 3 else 9, host=f"h{n % 2}") for n in range(1, 13)]
    old = log("old", NOW - 3600 * SECOND, service="gone")
    world.store(Kind.LOGS, [*rows, old])
    world.store(Kind.LOGS, [log("x", NOW - SECOND, service="secret")], THEIRS)
    client = world.client()
    (service,) = ask(client, "/services", start="now-1m")["services"]
    assert service == {
        "name": "shop",
        "env": "prod",
        "hosts": ["h0", "h1"],
        "last_seen": "2025-12-31T23:59:59.000000Z",
        "logs": 12,
        "errors": 2,
        "logs_per_s": pytest.approx(0.2),
        "error_rate": pytest.approx(2 / 12),
    }
    assert [found["name"] for found in ask(client, "/services")["services"]] == ["shop"]
    assert [found["name"] for found in ask(client, "/services", start="now-1d")["services"]] == ["gone", "shop"]


def test_the_account_is_of_the_caller_alone(world: World) -> None:
    world.store(Kind.LOGS, [log("a"), log("b")])
    batch = world.send(Kind.LOGS, [log("c")], THEIRS)
    world.index(Kind.LOGS, [batch])
    accounts = {entry["kind"]: entry for entry in ask(world.client(), "/conservation")["accounts"]}
    assert set(accounts) == {"logs", "metrics", "events", "dead_letters"}
    assert accounts["logs"] == {
        "tenant": "ours",
        "kind": "logs",
        "received": 2,
        "visible": 2,
        "duplicates": 0,
        "dead_lettered": 0,
        "dropped": {},
        "in_flight": 0,
        "lost": 0,
        "difference": 0,
        "lag": {"lake": {"messages": 0, "records": 0}, "hot": {"messages": 0, "records": 0}},
    }
    (theirs,) = (entry for entry in ask(world.client(THEIRS), "/conservation")["accounts"] if entry["received"])
    assert theirs["lag"] == {"lake": {"messages": 1, "records": 1}, "hot": {"messages": 0, "records": 0}}


def test_the_service_is_ready_when_the_lake_can_be_read(world: World) -> None:
    client = world.client()
    assert client.get("/health/ready").json()["checks"]["lake"] == {"ready": True, "reason": ""}


def test_every_route_is_described(world: World) -> None:
    document = ask(world.client(), "/openapi.json")
    for path in ("/logs/search", "/events/search", "/metrics/query", "/services", "/conservation"):
        about = document["paths"][path]["get"]
        assert about["summary"]
        assert "{" in about["description"]
        assert all(parameter["description"] for parameter in about.get("parameters", []))
    assert "AND binds tighter" in document["paths"]["/logs/search"]["get"]["parameters"][0]["description"]
