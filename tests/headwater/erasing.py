"""A small world with a subject in every tier, and a look into every file on disk."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import zstandard
from bytewax.testing import run_main

from contracts.hot import Found
from contracts.messages import Kind, Message
from contracts.query import All, RecordQuery
from contracts.settings import Settings
from contracts.tenants import tenant_named
from flows.graph import build
from headwater.commands.erase import Wanted, means, open_bus_of, requested
from lakehouse.lake.erasure_requests import Request
from lakehouse.read.search import Search
from lakehouse.upkeep.archive.moves import archive_day
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure.erase import erase
from lakehouse.upkeep.rollups.rollups import roll_up
from query_api.account import account
from tests import storage
from tests.flows.messages import TENANT, line, message
from tests.flows.running import EPOCH, World

MARKER = "zq7marker"
QUERY = "user.id:u-42"
OTHER = tenant_named("other")
DAY_NS = 86_400 * 10**9
KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS, Kind.DEAD_LETTERS)
QUICK = {"erase_look_s": 0.05, "erase_grace_s": 0, "erase_wait_s": 20}
OTHERS = "zq8marker"
ORPHAN = "lake/logs/day=2026-01-01/part-orphan.parquet"


def metric(**fields: Any) -> bytes:
    return msgspec.json.encode({"name": "load", "value": 1.5, **fields})


def event(body: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"name": "login", "body": body, **fields})


def letter(user: str, text: str) -> bytes:
    return msgspec.json.encode({"bodi": text, "user": user})


def copied(template: Path, folder: Path) -> World:
    """A world of its own that holds what `filled` made of `template`."""
    storage.copied(template / "data", folder / "data")
    return World(folder, **QUICK)


def filled(folder: Path, **values: Any) -> None:
    """The subject is in each kind, on two closed days and the open one, packed and plain, repeated, and unreadable; in
    the archive, the rollups, and files that compactions left behind. A tenant beside it has the same, and stays."""
    world = World(folder, **QUICK, **values)
    now_ns = time.time_ns() // 1000 * 1000 - 10**9
    for back in (2, 1, 0):
        at_ns = now_ns - back * DAY_NS
        for tenant, note in ((TENANT, MARKER), (OTHER, OTHERS)):
            _send(world, back, note, {"tenant": tenant, "received_ns": at_ns, "epoch": 9 - back})
    world.run(*KINDS)
    care = Care(world.settings)
    oldest = care.today() - dt.timedelta(days=2)
    roll_up(care)
    for kind in (Kind.LOGS, Kind.METRICS):
        archive_day(care, kind, oldest)
    care.table("events").compact([str(care.today())])
    _leave_orphan(world.settings)
    care.close()
    world.connections.close()


def _leave_orphan(settings: Settings) -> None:
    """As a writer leaves it that was killed before its commit, a while ago."""
    rows, *_ = (held for path, held in storage.files(settings) if re.match("lake/logs/.*parquet", path))
    storage.write(settings, ORPHAN.removeprefix("lake/"), rows)
    if (settings.data / ORPHAN).exists():
        os.utime(settings.data / ORPHAN, (1, 1))
    dealt = settings.data / "tmp" / "compaction-killed"
    dealt.mkdir(parents=True)
    (dealt / "rows.arrow").write_text(MARKER)


def _send(world: World, back: int, note: str, head: dict[str, Any]) -> None:
    subject, eve = ({"user": {"id": user}, "note": text} for user, text in (("u-42", note), ("u-43", "kept")))
    lines = [
        line(f"{back} of {note}", attributes=subject),
        line(f"{back} of eve", attributes=eve),
        letter("u-42", note),
        letter("u-43", "kept"),
    ]
    sent = message(lines, packed=back == 1, **head)
    world.append(sent, sent)
    points = [metric(attributes=subject), metric(attributes=eve)]
    world.append(message(points, kind=Kind.METRICS, **head), kind=Kind.METRICS)
    events = [event(note, attributes=subject), event("of eve", attributes=eve)]
    world.append(message(events, kind=Kind.EVENTS, **head), kind=Kind.EVENTS)


def ask(world: World, kinds: tuple[str, ...] = ()) -> Request:
    return requested(world.settings, Wanted("default", QUERY, kinds, "article 17"))


def run(world: World, request: Request, no_flows: bool = True) -> dict[str, Any]:
    care = Care(world.settings)
    try:
        with open_bus_of(world.settings) as bus:
            return erase(care, request, means(care, bus, no_flows))
    finally:
        care.close()


@contextlib.contextmanager
def running(world: World) -> Iterator[threading.Event]:
    """Flows of all kinds on a thread; the event is set when they end."""
    stop, ended = threading.Event(), threading.Event()
    connections = world.connections
    assert all((connections.hot, connections.lake, connections.bus))

    def run_flows() -> None:
        run_main(build("test", KINDS, connections, stop), epoch_interval=EPOCH)  # type: ignore[no-untyped-call]  # compiled, without stubs
        ended.set()

    thread = threading.Thread(target=run_flows)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def bodies(world: World, tenant: Any = TENANT) -> list[str]:
    """Of everything that a search over logs and events finds, in any tier."""
    search = Search(world.connections.hot, world.connections.lake, world.settings)
    found: list[Found] = []
    for kind in (Kind.LOGS, Kind.EVENTS):
        found += search.records(tenant, RecordQuery(kind, All(), None, None, 10_000)).records
    return sorted(record.fields["body"] for record in found)


def kept(note: str = "") -> list[str]:
    """The bodies of those who stay, and of the subject as it is noted."""
    others = [*(f"{back} of eve" for back in range(3)), *["of eve"] * 3]
    return sorted(others + ([*(f"{back} of {note}" for back in range(3)), *[note] * 3] if note else []))


def differences(world: World) -> dict[tuple[str, str], int]:
    found = account(world.connections.bus, world.connections.lake, None, world.connections.hot, TENANT)
    return {(entry.tenant, entry.kind.value): entry.difference for entry in found if entry.difference}


def places(world: World, marker: str = MARKER) -> list[str]:
    """Every file of the data folder and object of its tables, referenced or not, that holds `marker`."""
    held = [path for path, content in storage.files(world.settings) if _holds(path, content, marker)]
    bus = world.settings.data / "bus.db"
    return sorted({*held, *([bus.name] if _bus_holds(bus, marker) else [])})


def _holds(path: str, content: bytes, marker: str) -> bool:
    if marker.encode() in content:
        return True
    rows = pq.ParquetFile(io.BytesIO(content)).read().to_pylist() if ".parquet" in path else []
    return any(marker in repr(row) for row in rows)


def _bus_holds(path: Path, marker: str) -> bool:
    """Payloads as they are read: unpacked, and dead letters out of their base64."""
    if not path.exists():  # Kafka has them
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        messages = connection.execute("SELECT payload FROM messages")
        return any(marker.encode() in read_payload(payload) for (payload,) in messages)


def read_payload(payload: bytes) -> bytes:
    """A message's text, with that of its dead letters."""
    text = payload
    if payload.startswith(zstandard.FRAME_HEADER):
        text = zstandard.ZstdDecompressor().stream_reader(payload).read()
    return text + b"".join(_letters(text))


def _letters(text: bytes) -> list[bytes]:
    found = []
    for each in text.split(b"\n"):
        try:
            value = msgspec.json.decode(each, type=dict[str, Any])
        except (ValueError, TypeError):
            continue
        if isinstance(value.get("payload"), str):
            found.append(msgspec.convert(value["payload"], bytes))
    return found


def replayed_letters(world: World) -> list[Message]:
    """The payloads of all dead letters, as somebody would send them again."""
    payloads = [row["payload"] for row in world.lake_rows("dead_letters") if row["tenant"] == TENANT]
    return [message([payload], producer="again", sequence=at) for at, payload in enumerate(payloads)]
