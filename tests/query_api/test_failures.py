"""Stores that cannot answer: 503 with when to try again, 504 past the deadline; never a half-told answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.read.search import Search
from query_api import account
from tests.query_api.world import World, log

PATHS = ["/logs/search", "/events/search", "/metrics/query?name=load", "/services", "/conservation"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PAUSE_S", 0.0)


def told(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_a_lake_that_is_gone_is_503_and_not_ready(world: World) -> None:
    world.store(Kind.LOGS, [log("a")])
    client = world.client(with_hot=False)
    assert client.get("/health/ready").status_code == 200
    shutil.rmtree(world.settings.lake)
    Path(world.settings.lake).write_text("not a folder")
    response = client.get("/conservation")
    assert told(response) == (503, "store_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert client.get("/health/ready").status_code == 503


def test_a_bus_that_is_closed_is_503(world: World) -> None:
    client = world.client()
    world.bus.close()
    response = client.get("/conservation")
    assert told(response) == (503, "bus_unavailable")
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize("path", PATHS[:-1])
@pytest.mark.parametrize(
    ("timeout_s", "expected"), [(60.0, (503, "store_unavailable")), (1e-9, (504, "query_timeout"))]
)
def test_a_store_that_fails_is_503_and_504_past_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, timeout_s: float, expected: tuple[int, str]
) -> None:
    def failing(*_: object) -> NoReturn:
        raise StoreError("the store is away", hint="look at its log", retry_after_s=7)

    for name in ("records", "metrics", "services"):
        monkeypatch.setattr(Search, name, failing)
    world.settings = world.settings.model_copy(update={"query_timeout_s": timeout_s})
    response = world.client().get(path)
    assert told(response) == expected
    assert response.headers.get("Retry-After") == ("7" if timeout_s == 60.0 else None)
    assert "look at its log" in response.json()["detail"]


def test_a_query_that_a_store_refuses_is_400(world: World) -> None:
    world.store(Kind.LOGS, [log("a")])
    response = world.client().get("/logs/search", params={"q": "service:" + "*a?" * 600})
    assert told(response) == (400, "query_bad_value")
