"""The server: deadlines for headers, limits on them, and a clean stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contracts.settings import load_settings
from tests.web.running import running, until_closed
from web.service import create_service


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    app = create_service("Test", load_settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data")))
    with running(app, header_timeout_s=0.3) as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


def read_answer(connection: socket.socket) -> bytes:
    connection.settimeout(20)
    got = b""
    while b"live" not in got:
        got += connection.recv(65536)
    return got


GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n"])
def test_headers_that_never_end_are_answered_and_closed(address: tuple[str, int], start: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(start)
        answer = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "headers_too_slow"


def test_a_connection_that_says_nothing_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        assert until_closed(connection) == b""


def test_a_second_request_has_the_deadline_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(GET)
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health/l")

        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_the_rest_of_an_answered_request_cannot_trickle_for_ever(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        connection.settimeout(20)
        assert b"404" in connection.recv(65536)
        connection.sendall(b"a")

        assert until_closed(connection) == b""


def test_headers_without_end_are_refused_by_size(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 70_000)
        answer = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_requests_in_a_row_on_one_connection_all_pass(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(30):
            connection.sendall(GET[:20])
            connection.sendall(GET[20:])
            assert read_answer(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x00\x00 hello\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"\x00" * 50]
)
def test_what_is_not_http_is_a_problem_too(address: tuple[str, int], garbage: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(garbage)
        answer = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "invalid_http"


PROGRAM = """
import sys
from contracts.settings import load_settings
from web.server import serve
from web.service import create_service
app = create_service("Test", load_settings(_env_file=None, data_dir=sys.argv[1]))
serve(app, "127.0.0.1", 0, on_listening=lambda port: print(port, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_serve_return(tmp_path: Path, number: int) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(GET)
            read_answer(idle)
            process.send_signal(number)
            assert process.stdout.read() == b"stopped\n"
        assert process.wait(20) == 0
