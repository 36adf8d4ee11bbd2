"""Messages that somebody else's producer, or a broken one, may put on the bus: for each kind, by what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import zstandard

from contracts.messages import Kind, Message, to_headers
from tests.flows.messages import ARRIVAL_NS, TENANT, foreign, header

DEPTHS = (15, 17, 257, 400, 500, 700, 850, 900, 930, 950, 970, 980, 985, 990, 995, 1000, 1100)
_PACK = zstandard.ZstdCompressor(level=1).compress
_LETTER: dict[str, Any] = {
    "payload": "Ym9i",
    "reason": "r",
    "message": "m",
    "stage": "decode",
    "kind": "logs",
    "bus_partition": 0,
    "bus_offset": 0,
    "bus_index": 0,
    "producer": "p",
    "epoch": 0,
    "stream": "",
    "sequence": 0,
    "arrived_ns": ARRIVAL_NS,
}
GOOD: dict[Kind, dict[str, Any]] = {
    Kind.LOGS: {"body": "of bob", "attributes": {"user": "bob"}},
    Kind.METRICS: {"name": "n", "value": 1.5, "attributes": {"user": "bob"}},
    Kind.EVENTS: {"name": "n", "body": "of bob", "attributes": {"user": "bob"}},
    Kind.DEAD_LETTERS: _LETTER,
}
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    2**64,
    10**400,
    1e308,
    "",
    "\x00",
    "\ud83d\ude00",
    "x" * 40_000,
    [],
    {},
    [[]],
    [{}],
)


def nested(depth: int) -> Iterator[str]:
    yield "[" * depth + "]" * depth
    yield '{"a":' * depth + "1" + "}" * depth
    yield '[{"a":' * (depth // 2) + '"bob"' + "}]" * (depth // 2)


def records(kind: Kind) -> Iterator[bytes]:
    """Lines: each field with a value of another type or size, and nested deeply everywhere."""
    good = GOOD[kind]
    for name in [*good, "timestamp", "attributes", "unknown"]:
        yield from (json.dumps({**good, name: value}).encode() for value in VALUES)
    for depth in DEPTHS:
        for text in nested(depth):
            yield text.encode()
            for name in (*list(good)[:3], "unknown"):
                yield json.dumps({**good, name: "HERE"}).replace('"HERE"', text).encode()
            yield json.dumps({**good, "attributes": {"a": "HERE"}}).replace('"HERE"', text).encode()
    yield from (text.encode() for text in nested(100_000))
    yield from (b"", b"\xff\xfe", b"null", b"{", b'{"body": "\\ud800"}', b"NaN", b"\x00", b"1" * 5000, b"-", b'"' * 999)


def headers(kind: Kind) -> Iterator[dict[str, str]]:
    """Headers that cannot be believed, or nearly so."""
    yield {"headwater-batch": "{}"}
    good = msgspec.to_builtins(header(kind=kind))
    texts = ["", "{", "null", "[]", "\x00", "[" * 900, '{"a":' * 980, json.dumps({**good, "producer": "bus:x"})]
    strange: tuple[Any, ...] = (None, -1, 2**62, 2**63, 10**30, 1.5, "", "\u202e", "x" * 5000, [], {})
    texts += [json.dumps({**good, name: value}) for name in good for value in strange]
    texts += [json.dumps(good).replace('"agent-1"', '"\\ud800"')]
    yield from ({"headwater-batch": text, "headwater-version": "1"} for text in texts)
    yield {"headwater-batch": json.dumps(good), "headwater-version": "99"}
    yield {"content-encoding": "zstd"}
    yield {"headwater-erased": "9" * 50, "\x00": "\x00", "": ""}


def messages(kind: Kind) -> Sequence[Message]:
    """All of it, as foreign messages and under headers of ours, alone and in one message, plain and packed."""
    lines = [line for line in records(kind) if b"\n" not in line]
    made = [foreign(line) for line in lines] + [foreign(b"\n".join(lines))]
    payload = json.dumps(GOOD[kind]).encode()
    made += [Message(body, each) for each in headers(kind) for body in (payload, _PACK(payload), b"")]
    sequence = 0
    for batch in [[line] for line in lines] + [lines, [*lines, b"{"]]:
        text = b"\n".join(batch)
        filled = sum(bool(line) for line in batch)
        head = header(kind=kind, tenant=TENANT, sequence=sequence, span=len(batch), count=filled, size_bytes=len(text))
        sequence += len(batch)
        made.append(Message(text, to_headers(head)))
    bomb = header(kind=kind, sequence=sequence, encoding="zstd", size_bytes=2**62)
    made += [Message(_PACK(payload), to_headers(bomb)), Message(b"\x28\xb5\x2f\xfd", to_headers(bomb))]
    return made
