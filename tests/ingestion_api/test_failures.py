"""When the bus cannot, when too many come at once, when a client is slow: told, and nothing lost or stored twice."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import zstandard

from bus import open_bus
from contracts.settings import load_settings
from contracts.tenants import Role, tenant_named
from ingestion_api import routes
from tests.ingestion_api.conftest import Service
from tests.web.running import until_closed
from web.keys import create_key

Start = Callable[..., Service]
ROOT = Path(__file__).resolve().parents[2]


def producer(sequence: int, epoch: int = 0) -> dict[str, str]:
    return {
        "X_Headwater_Producer": "p",
        "X_Headwater_Epoch": str(epoch),
        "X_Headwater_Stream": "s",
        "X_Headwater_Sequence": str(sequence),
    }


@contextlib.contextmanager
def locked(service: Service) -> Iterator[None]:
    """Another process' write lock on the bus file."""
    with contextlib.closing(sqlite3.connect(service.settings.data / "bus.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_bus_is_503_and_the_same_batch_is_seen_once_afterwards(start: Start) -> None:
    service = start(ingest_bus_timeout_s=0.3)
    assert service.post(b'{"body":"0"}', **producer(0)).status_code == 202
    with locked(service):
        response = service.post(b'{"body":"1"}', **producer(1))
        assert response.status_code == 503, response.text
        assert response.json()["code"] in ("outcome_unknown", "bus_unavailable")
        assert int(response.headers["retry-after"]) >= 1
    again = service.post(b'{"body":"1"}', **producer(1))

    assert again.status_code == 202
    assert again.json() == {"accepted": 1, "rejected": [], "duplicate": False}
    stored = [message for message in service.read() if message.header.sequence == 1]
    assert {message.payload for message in stored} == {b'{"body":"1"}'}
    assert {(m.header.producer, m.header.epoch, m.header.stream) for m in stored} == {("p", 0, "s")}


def test_a_full_bus_is_503_and_what_was_acknowledged_is_there(start: Start) -> None:
    service = start(bus_max_mib=16)
    rng = random.Random(1)
    acknowledged = []
    for number in range(40):
        noise = base64.b64encode(rng.randbytes(750_000)).decode()
        response = service.post(json.dumps({"body": f"{number} {noise}"}).encode())
        if response.status_code != 202:
            break
        acknowledged.append(number)
    assert response.status_code == 503, response.text
    assert response.json()["code"] == "bus_unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert 5 < len(acknowledged) < 40

    assert sorted(int(json.loads(message.payload)["body"].split()[0]) for message in service.read()) == acknowledged


def test_a_repeat_of_a_known_batch_is_answered_and_not_stored_again(service: Service) -> None:
    service.read()
    batch = b'{"body":"a"}\nbad\n{"body":"b"}'
    first = service.post(batch, **producer(10, epoch=1)).json()
    second = service.post(batch, **producer(10, epoch=1)).json()
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert {**second, "duplicate": False} == first
    assert len(service.read()) == 1

    for following in (producer(13, epoch=1), producer(15, epoch=1), producer(10, epoch=2)):
        assert not service.post(batch, **following).json()["duplicate"]
    assert len(service.read()) == 3
    assert service.post(batch, **producer(12, epoch=1)).json()["duplicate"]  # over two batches, both stored


def test_an_idempotency_key_is_good_for_one_body(service: Service) -> None:
    service.read()
    assert not service.post(b'{"body":"a"}', Idempotency_Key="order-1").json()["duplicate"]
    assert service.post(b'{"body":"a"}', Idempotency_Key="order-1").json()["duplicate"]
    other = service.post(b'{"body":"b"}', Idempotency_Key="order-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert not service.post(b'{"name":"a"}', path="/events", Idempotency_Key="order-1").json()["duplicate"]

    (message,) = service.read()
    assert message.header.producer == "key:order-1"


def test_a_batch_refused_as_a_whole_leaves_its_key_free(service: Service) -> None:
    assert service.post(b"bad", Idempotency_Key="order-2").status_code == 400
    assert service.post(b'{"body":"a"}', Idempotency_Key="order-2").json()["duplicate"] is False


def test_rate_limits_are_429_with_retry_after(start: Start) -> None:
    service = start(ingest_records_per_s=5, ingest_burst_s=1)
    batch = b'{"body":"x"}\n' * 5
    assert service.post(batch).status_code == 202
    response = service.post(batch)

    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1
    assert len(service.read()) == 1


def test_more_requests_than_places_wait_and_then_hear_overloaded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "OVERLOAD_WAIT_S", 0.2)
    service = start(ingest_concurrency=2, ingest_bus_timeout_s=1.5)
    with locked(service), ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: service.post(b'{"body":"x"}'), range(6)))
    codes = [answer.json()["code"] for answer in answers]

    assert {answer.status_code for answer in answers} == {503}
    assert codes.count("overloaded") == 4
    assert all("retry-after" in answer.headers for answer in answers)
    assert service.post(b'{"body":"x"}').status_code == 202


def test_bodies_on_their_way_in_share_a_budget(start: Start) -> None:
    service = start(ingest_buffer_mib=1)
    response = service.post(b" " * (2 << 20))
    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    for _ in range(20):
        assert service.post(b'{"body":"' + b"x" * 100_000 + b'"}').status_code == 202


def test_many_clients_at_once_lose_nothing(service: Service) -> None:
    service.read()

    def send(client: int) -> None:
        for batch in range(10):
            lines = [b'{"body":"%d-%d-%d"}' % (client, batch, line) for line in range(20)]
            assert service.post(b"\n".join(lines)).json()["accepted"] == 20

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(16)))

    bodies = [json.loads(line)["body"] for message in service.read() for line in message.lines]
    assert len(bodies) == len(set(bodies)) == 16 * 10 * 20


def raw(service: Service) -> socket.socket:
    parts = urlsplit(service.url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)))


def head(service: Service, *lines: str) -> bytes:
    start = ["POST /logs HTTP/1.1", "Host: x", f"X-API-Key: {service.key}", *lines]
    return "\r\n".join([*start, "", ""]).encode()


def test_a_slow_body_is_408_and_closed(start: Start) -> None:
    service = start(ingest_body_timeout_s=0.3)
    with raw(service) as connection:
        connection.sendall(head(service, "Content-Length: 100") + b'{"body"')
        answer = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_too_slow"
    assert service.read() == []


def test_a_client_that_goes_away_stores_nothing(service: Service) -> None:
    service.read()
    with raw(service) as connection:
        connection.sendall(head(service, "Content-Length: 100") + b'{"body":"half"}\n')
    assert service.post(b'{"body":"whole"}').status_code == 202
    assert [message.payload for message in service.read()] == [b'{"body":"whole"}']


def test_a_length_over_the_limit_is_refused_before_the_body_comes(service: Service) -> None:
    with raw(service) as connection:
        connection.sendall(head(service, f"Content-Length: {1 << 40}", "Expect: 100-continue"))
        assert until_closed(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: -1",), ("Content-Length: x",), ("Transfer-Encoding: nonsense",), ("X-Big: " + "a" * 70_000,)],
)
def test_odd_framing_never_gives_a_5xx(service: Service, lines: tuple[str, ...]) -> None:
    with raw(service) as connection:
        connection.sendall(head(service, *lines) + b"0\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 4")


@contextlib.contextmanager
def program(
    folder: Path, *command: str, file_limit: int = 0, extra: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The service as a process of its own, and its URL.

    `file_limit`: bytes that a file may have, as on a full disk. `extra`: of its environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_limit}, {file_limit})); "
    words = [word.replace("PORT", str(port)) for word in command]
    run = f"import runpy, sys; sys.argv = {words}; runpy.run_module(sys.argv[0], None, '__main__')"
    start = f"{limit if file_limit else ''}{run}"
    mine = {"HEADWATER_DATA_DIR": str(folder), "HEADWATER_PORT": str(port), "PYTHONPATH": str(ROOT)}
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("HEADWATER_")}, **mine, **(extra or {})}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", start], cwd=folder, env=environment, stderr=log)
    try:
        wait_ready(port)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", [("ingestion_api",), ("uvicorn", "ingestion_api.app:app", "--port", "PORT")])
def test_the_service_runs_by_itself_and_stops_on_sigterm(tmp_path: Path, command: tuple[str, ...]) -> None:
    with program(tmp_path, *command) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_a_full_disk_is_503_and_the_acknowledged_records_survive_a_kill(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path)
    key = create_key(settings.keys_file, tenant_named("shop"), Role.INGEST).token
    rng = random.Random(1)
    acknowledged = []
    with program(tmp_path, "ingestion_api", file_limit=6 << 20) as (process, url):
        for number in range(40):
            body = {"body": f"{number} {base64.b64encode(rng.randbytes(300_000)).decode()}"}
            response = httpx.post(f"{url}/logs", json=body, headers={"X-API-Key": key}, timeout=30)
            if response.status_code != 202:
                break
            acknowledged.append(number)
        process.kill()
    assert (response.status_code, response.json()["code"]) == (503, "bus_unavailable"), response.text
    assert "retry-after" in response.headers
    assert len(acknowledged) > 2

    with contextlib.closing(open_bus(settings.bus, settings)) as bus:
        stored = [
            message for p in bus.partitions("logs.raw") for message in bus.reader("logs.raw", p, 0).poll(100, 1 << 30)
        ]
    payloads = [zstandard.decompress(message.payload) for message in stored]
    assert sorted(int(json.loads(payload)["body"].split()[0]) for payload in payloads) == acknowledged


def wait_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        threading.Event().wait(0.1)
    raise AssertionError("the service did not become ready")
