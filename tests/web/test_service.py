"""The frame of a service: problems, health, metrics, the page, request ids, logs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel

from contracts.errors import BusError, BusFull, OutcomeUnknown, QueryError, StoreError
from contracts.settings import load_settings
from contracts.tenants import Principal, Role, Tenant
from tests.web.running import running
from web import health
from web.auth import requires
from web.health import add_check
from web.keys import create_key
from web.problems import Problem, encode
from web.service import create_service

ERRORS = {
    "bus": (BusError("the bus is locked", retry_after_s=7), 503, "bus_unavailable"),
    "full": (BusFull("disk full"), 503, "bus_unavailable"),
    "unknown": (OutcomeUnknown("deadline"), 503, "outcome_unknown"),
    "store": (StoreError("no"), 503, "unavailable"),
    "query": (QueryError("odd", code="too_deep", position=3), 400, "too_deep"),
    "problem": (Problem(418, "teapot", "use a pot"), 418, "teapot"),
    "bug": (RuntimeError("secret inside"), 500, "internal_error"),
}


class Numbers(BaseModel):
    x: float
    name: str = ""


def make_app(folder: Path) -> FastAPI:
    app = create_service("Test", load_settings(_env_file=None, data_dir=folder))

    @app.get("/fail/{name}")
    async def fail(name: str) -> None:
        raise ERRORS[name][0]

    @app.get("/whoami")
    async def whoami(principal: Annotated[Principal, Depends(requires(Role.READ))]) -> dict[str, str]:
        return {"tenant": principal.tenant}

    @app.get("/number")
    async def number(n: Annotated[int, Query(ge=1)]) -> int:
        return n

    @app.post("/numbers")
    async def numbers(numbers: Numbers) -> float:
        return numbers.x

    return app


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with running(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert {"type", "title", "detail"} <= body.keys()
    return body


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_a_problem_with_its_code(client: httpx.Client, name: str) -> None:
    _, status, code = ERRORS[name]
    response = client.get(f"/fail/{name}")

    body = problem(response, status, code)

    assert "secret" not in response.text
    assert ("retry-after" in response.headers) == (status == 503)
    if name == "bus":
        assert response.headers["retry-after"] == "7"
    if name == "query":
        assert body["position"] == 3


def test_unknown_paths_and_methods_are_problems(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404, "not_found")
    problem(client.delete("/number"), 405, "method_not_allowed")
    problem(client.get("/number", params={"n": "0"}), 422, "invalid_request")
    assert '"n"' in problem(client.get("/number"), 422, "invalid_request")["detail"]


@pytest.mark.parametrize("body", [b'{"x": NaN}', b'{"x": 1, "name": "\\ud800"}', b'{"x": "\\udfff"}', b"\xff", b"{"])
def test_a_body_that_cannot_be_echoed_is_still_a_problem(client: httpx.Client, body: bytes) -> None:
    response = client.post("/numbers", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code in (200, 400, 422), response.text
    response.json()


@pytest.mark.parametrize(
    "value", [{"x": float("nan")}, {"\ud800": ["\udfff"]}, {"x": [float("inf")]}, {"x": object()}, {"x": {1, 2}}]
)
def test_any_answer_can_be_encoded(value: dict[str, Any]) -> None:
    json.loads(encode(value))


def test_who_may_come_in(client: httpx.Client, app: FastAPI) -> None:
    path = app.state.settings.keys_file
    reader = create_key(path, Tenant("shop"), Role.READ).token
    sender = create_key(path, Tenant("shop"), Role.INGEST).token
    admin = create_key(path, Tenant("shop"), Role.ADMIN).token

    missing = client.get("/whoami")
    problem(missing, 401, "missing_key")
    assert missing.headers["www-authenticate"].startswith("Bearer")
    problem(client.get("/whoami", headers={"X-API-Key": "hw_x_y"}), 401, "unknown_key")
    problem(client.get("/whoami", headers={b"Authorization": b"Bearer \xff\xfe"}), 401, "unknown_key")
    problem(client.get("/whoami", headers={"X-API-Key": sender}), 403, "wrong_role")
    for headers in ({"X-API-Key": reader}, {"Authorization": f"Bearer {reader}"}, {"Authorization": f"bearer {admin}"}):
        assert client.get("/whoami", headers=headers).json() == {"tenant": "shop"}


def test_a_damaged_key_file_is_503_for_everyone(client: httpx.Client, app: FastAPI) -> None:
    app.state.settings.keys_file.parent.mkdir(parents=True)
    app.state.settings.keys_file.write_text("not json")

    problem(client.get("/whoami", headers={"X-API-Key": "hw_x_y"}), 503, "unavailable")


def test_readiness_names_each_check_and_its_reason(client: httpx.Client, app: FastAPI) -> None:
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json() == {"status": "ready", "checks": {}}

    def broken() -> str:
        raise OSError("no such disk")

    add_check(app, "bus", lambda: "")
    add_check(app, "hot", lambda: "it is rebuilding")
    add_check(app, "lake", broken)
    response = client.get("/health/ready")

    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["bus"] == {"ready": True, "reason": ""}
    assert checks["hot"] == {"ready": False, "reason": "it is rebuilding"}
    assert "no such disk" in checks["lake"]["reason"]


def test_checks_that_hang_are_told_and_block_nothing_else(
    client: httpx.Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.1)
    released = threading.Event()

    @app.get("/threaded")
    def threaded() -> str:
        return "answered"

    def hang() -> str:
        released.wait(30)
        return ""

    add_check(app, "bus", hang)
    try:
        for _ in range(12):
            response = client.get("/health/ready")
            assert response.json()["checks"]["bus"]["reason"] == "no answer within 0.1 s"
        assert client.get("/threaded").json() == "answered"
    finally:
        released.set()


def test_metrics_count_requests_by_route_and_not_by_path(client: httpx.Client) -> None:
    for number in range(3):
        client.get(f"/nowhere/{number}")
        client.get("/fail/problem")

    text = client.get("/metrics").text

    assert 'headwater_http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert 'headwater_http_requests_total{method="GET",route="/fail/{name}",status="418"} 3.0' in text
    assert "headwater_http_request_seconds_bucket" in text
    assert "nowhere" not in text


def test_a_safe_request_id_comes_back_and_another_is_replaced(client: httpx.Client) -> None:
    given = client.get("/nowhere", headers={"X-Request-Id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    for unsafe in ("", "a b", "x" * 200, 'a"b'):
        made = client.get("/nowhere", headers={"X-Request-Id": unsafe}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made)


def test_each_request_is_one_json_line_without_the_key(
    client: httpx.Client, app: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    token = create_key(app.state.settings.keys_file, Tenant("shop"), Role.READ).token
    client.get("/whoami", headers={"X-API-Key": token})
    client.get("/fail/bug", headers={"X-API-Key": token})
    client.get("/health/live")
    client.get("/nowhere")  # the line of a request may be written after its answer; this one's need not be seen

    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]

    assert token not in text
    assert [line["path"] for line in lines if line["event"] == "request"][:2] == ["/whoami", "/fail/bug"]
    assert next(line for line in lines if line["event"] == "request")["tenant"] == "shop"
    assert "RuntimeError" in next(line for line in lines if line["event"] == "unexpected_error")["exception"]
    assert not any(line.get("path") == "/health/live" for line in lines)


def test_the_page_is_whole_in_itself(client: httpx.Client) -> None:
    page = client.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "/fail/{name}" in page.text
    assert "Numbers" in page.text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)
    assert "<script" not in page.text
