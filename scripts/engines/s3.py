"""S3: versitygw over a folder → one S3 server with a bucket, on a loopback port.

Its conditional puts are atomic, which Delta's commits rest on and which not every small S3 server can say of itself.
A SIGKILL loses nothing that was acknowledged: the files are the kernel's by then. A power failure is another matter.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.engines import cache, ports
from scripts.engines.node import EngineError, Node

MODULE = "github.com/versity/versitygw"
VERSION = "v1.8.0"
PINS = "s3.sum"  # "module version sum" of the server and of all that is built into it, in Go's own checksums
REGION = "us-east-1"
ACCESS_KEY = "headwater"


@dataclass(frozen=True)
class S3:
    """A server that runs, with one empty bucket."""

    url: str  # for HEADWATER_LAKE_URL
    endpoint: str
    node: Node
    environment: dict[str, str] = field(repr=False)  # HEADWATER_LAKE_URL and AWS_*: all that a client needs


def missing() -> str:
    """Why it cannot run here, or an empty string."""
    return cache.missing_programs() if cache.is_whole(_folder()) else cache.missing_programs("go")


def install() -> Path:
    """The server's program, built at the first call (about a minute).

    Raises:
        EngineError: Go failed, or built it from other sources than the pinned ones.
    """
    return cache.ensure(_folder(), _build) / "versitygw"


@contextlib.contextmanager
def running(*, home: Path, bucket: str = "headwater", prefix: str = "lake", port: int = 0) -> Iterator[S3]:
    """Run a server with its data under `home`, on `port` if that is free.

    A `home` that was used before keeps its objects; the secret key is another one each time.
    """
    program, home = install(), home.absolute()
    data = home / "data"
    (data / bucket).mkdir(parents=True, exist_ok=True)  # a bucket is a folder
    [port] = ports.free(1, prefer=port)
    secret = secrets.token_urlsafe(24)
    node = Node(
        "s3",
        [
            str(program),
            "--port",
            f"{ports.HOST}:{port}",
            "--region",
            REGION,
            "--quiet",
            "posix",
            *_metadata(home, data),
        ],
        log=home / "s3.log",
        is_ready=lambda: _answers(port),
        environment={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": secret},
    )
    url, endpoint = f"s3://{bucket}/{prefix}", f"http://{ports.HOST}:{port}"
    try:
        node.start()
        yield S3(url, endpoint, node, _environment(url, endpoint, secret))
    finally:
        node.stop()


def pinned_modules() -> set[str]:
    """`module version sum` of everything that may be built into the server."""
    return set((cache.HERE / PINS).read_text().splitlines())


def verify(build_info: str, pinned: set[str]) -> None:
    """Compare what `go version -m` says of a program with the pinned modules.

    Raises:
        EngineError: It was built from a module that is not pinned, at another version, or with another sum.
    """
    lines = [line.split() for line in build_info.splitlines()]
    built = {" ".join(words[1:]) for words in lines if words and words[0] in {"mod", "dep", "=>"}}
    if not any(module.startswith(f"{MODULE} {VERSION} ") for module in built):
        raise EngineError(f"the program is not {MODULE} {VERSION}")
    if foreign := built - pinned:
        raise EngineError(f"the program holds {sorted(foreign)}, which {PINS} does not pin; do not use it")


def _build(folder: Path) -> None:
    cache.run(["go", "install", f"{MODULE}/cmd/versitygw@{VERSION}"], folder=folder, environment={"GOBIN": str(folder)})
    verify(cache.run(["go", "version", "-m", "versitygw"], folder=folder), pinned_modules())


def _folder() -> Path:
    return cache.folder(f"versitygw-{VERSION}", (cache.HERE / PINS).read_text())


def _answers(port: int) -> bool:
    """Any answer will do: without a signature it is 403."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(ports.HOST, port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().status > 0
    return False


def _metadata(home: Path, data: Path) -> list[str]:
    """Where metadata goes: extended attributes, or files beside, on file systems that have none."""
    try:
        os.setxattr(data, "user.headwater", b"1")
    except OSError:
        sidecar = home / "metadata"
        sidecar.mkdir(exist_ok=True)
        return ["--sidecar", str(sidecar), str(data)]
    return [str(data)]


def _environment(url: str, endpoint: str, secret: str) -> dict[str, str]:
    return {
        "HEADWATER_LAKE_URL": url,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
