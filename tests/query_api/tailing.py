"""For tests of tails: a client of server-sent events over a real connection, a hot store that counts and fails, and
a service over both."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
from prometheus_client import generate_latest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import LINES, HotStore
from contracts.messages import BatchHeader, Kind
from contracts.records import LogRow
from contracts.settings import load_settings
from contracts.tenants import Role, Tenant
from lakehouse.read.search import Search
from query_api.app import mount
from tests.query_api.world import NOW, OURS, THEIRS, World, log
from tests.waiting import until
from tests.web.running import running
from web.keys import create_key
from web.service import create_service


class Event(NamedTuple):
    name: str
    data: Any
    id: str


def lines_of(chunks: Iterator[bytes]) -> Iterator[str]:
    """At line feeds alone: the text of a record may hold other ends of lines."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """By the standard: an id without data moves the last id on, and is no event; that is told as the event "id"."""
    name, data, event_id = "", list[str](), ""
    for line in lines:
        field, _, value = line.partition(": ")
        if not line:
            if data or event_id:
                yield Event(name if data else "id", json.loads("\n".join(data)) if data else None, event_id)
            name, data, event_id = "", [], ""
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            event_id = value


class Client:
    """Reads in a thread until closed. `events` holds what came, `id` is the last one."""

    def __init__(self, url: str, key: str, params: Mapping[str, str], last_id: str = "") -> None:
        headers = {"X-API-Key": key, **({"Last-Event-ID": last_id} if last_id else {})}
        self.events: list[Event] = []
        self.id = last_id
        self.status = 0
        self.body: dict[str, Any] = {}
        self.ended = threading.Event()
        self._http = httpx.Client(timeout=httpx.Timeout(30, read=60))
        self._request = self._http.build_request("GET", f"{url}/logs/tail", params=params, headers=headers)
        self._response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(httpx.HTTPError, RuntimeError, OSError):
            response = self._response = self._http.send(self._request, stream=True)
            self.status = response.status_code
            if response.status_code != 200:
                self.body = json.loads(response.read())
            else:
                for event in events_of(lines_of(response.iter_bytes())):
                    self.id = event.id or self.id
                    self.events.append(event)
        if self._response is not None:
            self._response.close()
        self._http.close()
        self.ended.set()

    @property
    def bodies(self) -> list[str]:
        return [event.data["body"] for event in self.events if event.name == ""]

    def named(self, name: str) -> list[Any]:
        return [event.data for event in list(self.events) if event.name == name]

    def begun(self) -> Client:
        until(lambda: self.named("begin") or self.status not in (0, 200), "the tail beginning")
        assert self.status == 200, self.body
        return self

    def wait_for(self, count: int) -> list[str]:
        until(lambda: len(self.bodies) >= count, f"{count} records; there are {len(self.bodies)}")
        return self.bodies

    def close(self) -> None:
        if self._response is not None and not self.ended.is_set():
            with contextlib.suppress(OSError):  # the server may have closed it
                stream = self._response.extensions["network_stream"]
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self.ended.wait(5)


class Watched:
    """A hot store that counts what it is asked, and fails while `away` says why."""

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot
        self.away = ""
        self.error: type[Exception] = StoreError
        self.looks: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hot, name)

    def checkpoints(self, kind: Any) -> Mapping[int, int]:
        self._fail()
        self.looks.append(("checkpoints", kind))
        return self._hot.checkpoints(kind)

    def arrivals(self, *asked: Any) -> Sequence[Any]:
        self._fail()
        self.looks.append(("arrivals", asked[0]))
        return self._hot.arrivals(*asked)

    def _fail(self) -> None:
        if self.away:
            raise self.error(self.away)


class Service:
    """The world, with its query service on a port, and the clients of a test."""

    def __init__(self, world: World, **given: Any) -> None:
        self.world = world
        folder = world.settings.data_dir
        self.settings = load_settings(data_dir=folder, bus_group_commit_ms=0, **{"tail_poll_s": 0.05, **given})
        self.hot = Watched(world.hot)
        self.app = create_service("test", self.settings)
        search = Search(self.hot, world.lake, self.settings)
        mount(self.app, search, world.bus, world.lake, self.hot, self.settings, clock=lambda: NOW)
        self.keys = {tenant: create_key(self.settings.keys_file, tenant, Role.READ).token for tenant in (OURS, THEIRS)}
        self.url = ""
        self.clients: list[Client] = []
        self._writer: Any = None
        self._offsets: dict[int, int] = {}

    def tail(self, last_id: str = "", tenant: Tenant = OURS, **params: Any) -> Client:
        client = Client(self.url, self.keys[tenant], params, last_id)
        self.clients.append(client)
        return client

    def arrive(self, *bodies: str, partition: int = 0, tenant: Tenant = OURS, at_ns: int = NOW, **fields: Any) -> None:
        """One message, committed by the hot store's own writer; its offset is the next one of the partition."""
        self.rows([log(body, at_ns, **fields) for body in bodies], partition, tenant)

    def rows(self, rows: list[LogRow], partition: int = 0, tenant: Tenant = OURS) -> None:
        if self._writer is None:
            self._writer = self.world.hot.writer(Kind.LOGS)
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        for index, row in enumerate(rows):
            row.index = index
        count = len(rows)
        header = BatchHeader(
            tenant=tenant,
            kind=Kind.LOGS,
            producer="tester",
            stream=f"s{partition}",
            sequence=offset * LINES,
            count=count,
            span=count,
            received_ns=NOW,
        )
        self._writer.append([Batch(header, partition, offset, rows, [], count)])
        self._writer.commit()

    def metric(self, name: str) -> float:
        lines = generate_latest(self.app.state.registry).decode().splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def served(world: World, **given: Any) -> Iterator[Service]:
    service = Service(world, **given)
    with running(service.app) as service.url, contextlib.closing(service):
        yield service
