"""Authorities: those of the machine and the private one of S3 -> both hold, for Delta and for every other client."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest

from contracts.errors import ConfigError
from lakehouse.s3.authorities import FILE, GIVEN, trust_too
from lakehouse.s3.store import object_store
from tests.settings import settings

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")

ASK = """
import os, ssl, subprocess, sys, httpx
from contracts.errors import StoreError
from contracts.settings import load_settings
from lakehouse.delta.table import Delta
from lakehouse.s3.store import object_store, writing_options

s3, public, again = sys.argv[1:]
url = "s3://bucket/lake"
settings = load_settings(s3_endpoint=s3, s3_access_key="k", s3_secret_key="s")
options = writing_options(url, settings)
try:
    Delta(url, "logs", options, create=False)
except StoreError as error:
    print("delta:", error)
try:
    object_store(url, settings).client(2.0).list_buckets()
except Exception as error:
    print("boto:", error)
try:
    print("public:", httpx.get(public).status_code)
except httpx.HTTPError as error:
    print("public:", error)
if again:  # a child inherits the variable
    subprocess.run([sys.executable, "-c", os.environ["ASK"], s3, public, ""], check=True)
"""


class Handler(BaseHTTPRequestHandler):
    """Denies everything, so that an answer shows trust."""

    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code></Error>"
        self.send_response(403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None: ...  # a client that does not trust us hangs up


def authority(folder: Path) -> Path:
    """A folder with the certificate of an authority, `ca.pem`, and that of a server it signed."""
    folder.mkdir()
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for words in (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN={folder.name}",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_private_authority_of_s3_takes_no_other_authority_from_any_client(tmp_path: Path) -> None:
    private, public = authority(tmp_path / "private"), authority(tmp_path / "public")
    with served(private) as s3, served(public) as elsewhere:
        told = subprocess.run(
            [sys.executable, "-c", ASK, s3, elsewhere, "again"],
            cwd=ROOT,
            env={
                **os.environ,
                "ASK": ASK,
                "HEADWATER_DATA_DIR": str(tmp_path / "data"),
                "HEADWATER_S3_CA_FILE": str(private / "ca.pem"),
                FILE: str(public / "ca.pem"),  # what the machine trusts
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.splitlines()
    assert [line.partition(" (")[0].partition(" when")[0] for line in told] == [
        'delta: lake table "logs" cannot be opened: S3 denies access',
        "boto: An error occurred",
        "public: 403",
    ] * 2
    assert len(list((tmp_path / "data" / "authorities").iterdir())) == 1


def test_the_file_holds_the_authorities_of_the_system_and_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (FILE, GIVEN, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    private = authority(tmp_path / "private")
    before = dict(os.environ)
    path = trust_too(str(private / "ca.pem"), tmp_path / "data")
    assert trust_too(str(private / "ca.pem"), tmp_path / "data") == path
    trusted = {each["serialNumber"] for each in subjects(path)}
    known = {each["serialNumber"] for each in subjects(Path(certifi.where()))}
    assert trusted > known
    assert {each["serialNumber"] for each in subjects(private / "ca.pem")} <= trusted - known
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert dict(os.environ) == before


def test_a_new_authority_is_taken_up_and_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    first, second = authority(tmp_path / "first"), authority(tmp_path / "second")
    file = tmp_path / "ca.pem"
    shutil.copy(first / "ca.pem", file)
    before = trust_too(str(file), tmp_path)
    file.write_bytes((first / "ca.pem").read_bytes() + (second / "ca.pem").read_bytes())
    os.utime(file, ns=(1, 1))
    after = trust_too(str(file), tmp_path)
    assert before.exists()  # a process that was started before still reads it
    assert len(subjects(after)) == len(subjects(before)) + 1
    after.unlink()
    assert trust_too(str(file), tmp_path).exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate that can be read"),
    ],
)
def test_a_file_without_an_authority_is_refused_with_the_setting(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"HEADWATER_S3_CA_FILE.*{reason}"):
        object_store("s3://b", settings(s3_ca_file=str(file), data_dir=tmp_path))


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    private = authority(tmp_path / "private")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        trust_too(str(private / "ca.pem"), tmp_path / "file")
    assert "HEADWATER_DATA_DIR" in caught.value.hint


def subjects(path: Path) -> list[dict[str, Any]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    found: list[dict[str, Any]] = context.get_ca_certs()
    return found
