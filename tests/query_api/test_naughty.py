"""Any text in any parameter: an answer or a refusal that says why, never a failure of the service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.messages import Kind
from tests.query_api.world import World, event, log, metric
from tests.samples.sources import STRINGS

PLACES: list[tuple[str, tuple[str, ...]]] = [
    ("/logs/search", ("q",)),
    ("/logs/search", ("service", "env", "host")),
    ("/logs/search", ("cursor",)),
    ("/logs/search", ("level", "start")),
    ("/events/search", ("q",)),
    ("/events/search", ("name",)),
    ("/metrics/query", ("name", "group_by")),
    ("/metrics/query", ("q",)),
    ("/services", ("start", "end")),
]


def filled(world: World) -> World:
    world.store(Kind.LOGS, [log("a b c", attributes={"x": "y", "n": 5})])
    world.store(Kind.EVENTS, [event("deploy", n=5)])
    world.store(Kind.METRICS, [metric("load", 1.5)])
    return world


@pytest.mark.parametrize("strings", STRINGS)
@pytest.mark.parametrize(("path", "names"), PLACES)
def test_naughty_strings_are_answered_or_refused(
    world: World, path: str, names: tuple[str, ...], strings: list[str]
) -> None:
    client = filled(world).client()
    named = {"name": "load"} if path == "/metrics/query" else {}
    for text in strings if names == ("q",) and path == "/logs/search" else strings[len(names) :: 3]:
        response = client.get(path, params=named | dict.fromkeys(names, text))
        assert response.status_code in (200, 400, 422), (text, response.text)


QUERIES = st.lists(
    st.sampled_from([*'()[]{}:"*?+-!<>\\', "a", "b*", "level", "warn", "timestamp", "now", "x", "5", " AND ", " OR "]),
    max_size=14,
).map("".join)


@given(st.one_of(QUERIES, st.text(max_size=30)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_query_is_answered_or_refused(world: World, text: str) -> None:
    answer: dict[str, Any] = {}
    client = world.client() if not world.clients else world.clients[0]
    for path in ("/logs/search", "/events/search"):
        response = client.get(path, params={"q": text})
        answer = response.json()
        assert response.status_code in (200, 400), (text, response.text)
        assert "records" in answer or answer["code"].startswith("query_")


@pytest.mark.parametrize(
    "raw",
    [
        "q=%ff%fe&service=%00",
        "q=%ED%A0%80",
        "q=a&q=b&limit=1&limit=2",
        "limit=" + "9" * 5000,
        "limit=-1",
        "limit=1e3",
        "start=%00",
        "start=" + "9" * 5000,
        "q=" + "%28" * 5000,
        "&&&=&==&",
        "%00=1",
        "cursor=" + "A" * 9000,
        "q=x&service=" + "x" * 9000,
    ],
)
def test_raw_query_strings_are_answered_or_refused(world: World, raw: str) -> None:
    response = filled(world).client().get(f"/logs/search?{raw}")
    assert response.status_code in (200, 400, 422), response.text
    assert len(response.content) < 20_000
