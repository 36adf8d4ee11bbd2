"""A whole ingestion service on a SQLite bus, reached over HTTP, and the bus read back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from bus import open_bus
from contracts.bus import Bus
from contracts.messages import BatchHeader, Kind, from_headers
from contracts.settings import Settings, load_settings
from contracts.tenants import Role, tenant_named
from ingestion_api.app import create_app
from tests.web.running import running
from web.keys import create_key


@dataclass(frozen=True)
class Stored:
    """One message of the bus, decompressed."""

    header: BatchHeader
    payload: bytes
    raw: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.payload.split(b"\n")


class Service:
    """A running service. `read` gives what was stored since the last `read`."""

    def __init__(self, url: str, settings: Settings, bus: Bus) -> None:
        self.url = url
        self.settings = settings
        self.key = create_key(settings.keys_file, tenant_named("shop"), Role.INGEST).token
        self.client = httpx.Client(base_url=url, headers={"X-API-Key": self.key}, timeout=60)
        self._bus = bus
        self._next: dict[tuple[str, int], int] = {}

    def post(self, content: bytes, path: str = "/logs", media: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers={**named, **({"Content-Type": media} if media else {})})

    def read(self, kind: Kind = Kind.LOGS) -> list[Stored]:
        found = []
        for partition in self._bus.partitions(kind.topic):
            place = (kind.topic, partition)
            with contextlib.closing(self._bus.reader(kind.topic, partition, self._next.get(place, 0))) as reader:
                while messages := reader.poll(1000):
                    self._next[place] = messages[-1].offset + 1
                    found += [stored(message.payload, message.headers) for message in messages]
        return found


def stored(payload: bytes, headers: Any) -> Stored:
    header = from_headers(headers)
    assert header is not None
    plain = zstandard.ZstdDecompressor().decompress(payload) if header.encoding == "zstd" else payload
    assert header.size_bytes == len(plain)
    assert header.count == sum(1 for line in plain.split(b"\n") if line)
    return Stored(header, plain, payload)


@contextlib.contextmanager
def serving(folder: Path, **overrides: Any) -> Iterator[Service]:
    settings = load_settings(_env_file=None, data_dir=folder, log_level="error", **overrides)
    app = create_app(settings)
    with running(app) as url, contextlib.closing(open_bus(settings.bus, settings)) as bus:
        service = Service(url, settings, bus)
        with service.client:
            yield service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service")) as running_service:
        yield running_service


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service with settings of one's own."""
    with contextlib.ExitStack() as stack:
        yield lambda **overrides: stack.enter_context(serving(tmp_path, **overrides))
