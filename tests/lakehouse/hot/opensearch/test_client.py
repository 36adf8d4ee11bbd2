"""The way to OpenSearch: TLS, users and what is said when it does not answer, against a server of a few lines."""

from __future__ import annotations

import base64
import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse import open_hot
from lakehouse.hot.opensearch.client import Client
from tests.settings import settings

USER, PASSWORD = "headwater", "geheim-Ünicode"
NEW_KEY = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"


class Handler(BaseHTTPRequestHandler):
    """Lets in who knows the password, and has nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        status, body = (404, b"{}") if self.headers["authorization"] == wanted else (401, b"Unauthorized")
        self.send_response(status)
        self.send_header("content-type", "application/json" if status == 404 else "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None: ...  # a client that does not trust us hangs up


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    words = f"{NEW_KEY} -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"opensearchs://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def chosen(**overrides: Any) -> Settings:
    return settings(**({"opensearch_user": USER, "opensearch_password": PASSWORD} | overrides))


def test_a_server_that_our_authority_signed_is_spoken_to_with_user_and_password(url: str, certificate: Path) -> None:
    with contextlib.closing(open_hot(url, chosen(opensearch_ca_file=certificate))) as hot:
        assert hot.checkpoints(Kind.LOGS) == {}


def test_a_server_that_nobody_signed_is_refused_with_what_to_set_unless_told_not_to_look(url: str) -> None:
    with (
        contextlib.closing(open_hot(url, chosen())) as hot,
        pytest.raises(StoreError, match="certificate") as caught,
    ):
        hot.checkpoints(Kind.LOGS)
    assert "HEADWATER_OPENSEARCH_CA_FILE" in caught.value.hint
    with contextlib.closing(open_hot(url, chosen(opensearch_verify=False))) as hot:
        assert hot.checkpoints(Kind.LOGS) == {}


def test_a_wrong_password_is_told_and_never_shown(url: str, certificate: Path) -> None:
    wrong = chosen(opensearch_ca_file=certificate, opensearch_password="other-secret")
    with contextlib.closing(open_hot(url, wrong)) as hot, pytest.raises(StoreError, match="401") as caught:
        hot.checkpoints(Kind.LOGS)
    assert "HEADWATER_OPENSEARCH_PASSWORD" in caught.value.hint
    assert "other-secret" not in f"{caught.value} {wrong!r}"


def test_readers_leave_an_engine_that_did_not_answer_alone_for_a_while_and_say_why() -> None:
    now_s = [100.0]
    with contextlib.closing(Client("opensearch://127.0.0.1:9", settings(), 1, True, lambda: now_s[0])) as client:
        tries: list[str] = []
        client._transport = Refusing(client._transport, tries)  # type: ignore[assignment]  # a double
        for pause_s in (0.0, 1.0, 5.0):
            now_s[0] += pause_s
            with pytest.raises(StoreError, match="cannot be reached") as caught:
                client.call("GET", "/")
            assert "HEADWATER_HOT_URL" in caught.value.hint
    assert len(tries) == 2


class Refusing:
    """The transport, counting what it is asked."""

    def __init__(self, transport: Any, tries: list[str]) -> None:
        self._transport, self._tries = transport, tries

    def perform_request(self, method: str, path: str, **options: Any) -> Any:
        self._tries.append(path)
        return self._transport.perform_request(method, path, **options)

    def close(self) -> None:
        self._transport.close()
