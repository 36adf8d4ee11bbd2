"""A small world with a subject in every tier, and a look into every file on disk."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import zstandard

from contracts.hot import Found
from contracts.messages import Kind, Message
from contracts.query import All, RecordQuery
from contracts.tenants import tenant_named
from headwater.erase import Wanted, means, open_bus_of, requested
from lakehouse.erasures import Request
from lakehouse.search import Search
from lakehouse.tiers.care import Care
from lakehouse.tiers.erasure import erase
from query_api.account import account
from tests.flows.messages import TENANT, line, message
from tests.flows.running import World

MARKER = "zq7marker"
QUERY = "user.id:u-42"
OTHER = tenant_named("other")
DAY_NS = 86_400 * 10**9
KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS, Kind.DEAD_LETTERS)
QUICK = {"erase_look_s": 0.05, "erase_grace_s": 0, "erase_wait_s": 20}
SUBJECT, EVE = {"user": {"id": "u-42"}, "note": MARKER}, {"user": {"id": "u-43"}, "note": "kept"}


def metric(**fields: Any) -> bytes:
    return msgspec.json.encode({"name": "load", "value": 1.5, **fields})


def event(body: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"name": "login", "body": body, **fields})


def letter(user: str, text: str) -> bytes:
    return msgspec.json.encode({"bodi": text, "user": user})


def filled(folder: Path, **values: Any) -> World:
    """The subject is in each kind, on two closed days and the open one, packed and plain, repeated, and unreadable."""
    world = World(folder, **{**QUICK, **values})
    now_ns = time.time_ns() // 1000 * 1000 - 10**9
    for back in (2, 1, 0):
        at_ns = now_ns - back * DAY_NS
        epoch = {"received_ns": at_ns, "epoch": 9 - back}
        lines = [
            line(f"{back} of {MARKER}", attributes=SUBJECT),
            line(f"{back} of eve", attributes=EVE),
            letter("u-42", MARKER),
            letter("u-43", "kept"),
        ]
        sent = message(lines, packed=back == 1, **epoch)
        world.append(sent, sent, message(lines, tenant=OTHER, producer="other", **epoch))
        points = [metric(attributes=SUBJECT), metric(attributes=EVE)]
        world.append(message(points, kind=Kind.METRICS, **epoch), kind=Kind.METRICS)
        events = [event(MARKER, attributes=SUBJECT), event("of eve", attributes=EVE)]
        world.append(message(events, kind=Kind.EVENTS, **epoch), kind=Kind.EVENTS)
    world.run(*KINDS)
    return world


def ask(world: World, kinds: tuple[str, ...] = ()) -> Request:
    return requested(world.settings, Wanted("default", QUERY, kinds, "article 17"))


def run(world: World, request: Request, no_flows: bool = True) -> dict[str, Any]:
    care = Care(world.settings)
    try:
        with open_bus_of(world.settings) as bus:
            return erase(care, request, means(care, bus, no_flows))
    finally:
        care.close()


def bodies(world: World, tenant: Any = TENANT) -> list[str]:
    """Of everything that a search over logs and events finds, and the notes of all points."""
    search = Search(world.connections.hot, world.connections.lake, world.settings)
    found: list[Found] = []
    for kind in (Kind.LOGS, Kind.EVENTS):
        found += search.records(tenant, RecordQuery(kind, All(), None, None, 10_000)).records
    return sorted(record.fields["body"] for record in found)


def kept() -> list[str]:
    return sorted([*(f"{back} of eve" for back in range(3)), *["of eve"] * 3])


def differences(world: World) -> dict[tuple[str, str], int]:
    found = account(world.connections.bus, world.connections.lake, None, world.connections.hot, TENANT)
    return {(entry.tenant, entry.kind.value): entry.difference for entry in found if entry.difference}


def places(world: World, marker: str = MARKER, tenant: str = "") -> list[str]:
    """Every file of the data folder, referenced or not, that holds `marker`; rows of `tenant` do not count."""
    return sorted(
        str(path.relative_to(world.settings.data))
        for path in world.settings.data.rglob("*")
        if path.is_file() and _holds(path, marker, tenant)
    )


def _holds(path: Path, marker: str, tenant: str) -> bool:
    if path.name == "bus.db":
        return _bus_holds(path, marker, tenant) or (not tenant and marker.encode() in path.read_bytes())
    if path.name.startswith("bus.db"):
        return not tenant and marker.encode() in path.read_bytes()
    if ".parquet" in path.name:
        rows = pq.ParquetFile(path).read().to_pylist()
        return any(marker in repr(row) for row in rows if not tenant or row.get("tenant") != tenant)
    return not (tenant and "hot" in path.parts) and marker.encode() in path.read_bytes()


def _bus_holds(path: Path, marker: str, tenant: str) -> bool:
    """Payloads as they are read: unpacked, and dead letters out of their base64."""
    with sqlite3.connect(path) as connection:
        for headers, payload in connection.execute("SELECT headers, payload FROM messages"):
            if tenant and f'\\"tenant\\":\\"{tenant}\\"' in headers:
                continue
            text = payload
            if payload.startswith(zstandard.FRAME_HEADER):
                text = zstandard.ZstdDecompressor().stream_reader(payload).read()
            if marker.encode() in text + b"".join(_letters(text)):
                return True
    return False


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
