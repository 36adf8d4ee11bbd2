"""Hostile payloads through the whole flow: both stores hold the same, and every record is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.messages import Kind
from tests.flows.messages import foreign, line, message
from tests.flows.running import World

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

ODD = (
    {"n": [1, "x", True, None, 1.5], "o": {"p": [{"q": 1}]}, "": "empty key"},
    {"big": 2**63, "bigger": 2**64 - 1, "less": -(2**63), "huge": 1e308, "tiny": 5e-324},
    {"k" * 300: "long key", "v": "x" * 70_000},
    {"nul": "a\x00b", "right to left": "\u202eabc", "astral": "\U0001f600"},
    {"a.b": 1, "a": {"b": 2}},
)


def alike(world: World) -> int:
    """How many rows both stores hold, after a look at each."""
    hot, lake = world.hot_bodies(), world.lake_bodies()
    assert hot == lake
    return sum(lake.values())


def test_odd_attributes_are_held_by_both_stores(world: World) -> None:
    texts = [json.dumps(attributes) for attributes in ODD]
    lines = [line("sent", attributes=attributes) for attributes in ODD] + [line(text) for text in texts]
    world.append(message(lines))
    world.run()

    assert alike(world) == world.ledger().received == len(lines)


@pytest.mark.skipif(not SHARED.exists(), reason="shared test data is not here")
def test_naughty_strings_and_odd_json_are_held_or_accounted_for(world: World) -> None:
    strings = json.loads((SHARED / "naughty_strings" / "blns.json").read_bytes())
    world.append(message([line(text, attributes={text: text}) for text in strings]))
    files = sorted((SHARED / "json_test_suite" / "test_parsing").glob("*.json"))
    for path in files:
        body = path.read_bytes().replace(b"\n", b" ")
        world.append(foreign(path.read_bytes()), foreign(b'{"body": "suite", "attributes": {"a": ' + body + b"}}"))
    world.append(message([line(path.read_bytes().decode("utf-8", "replace")) for path in files], sequence=len(strings)))
    world.run()

    ledger = world.ledger()
    assert alike(world) == ledger.landed
    assert ledger.landed >= len(strings) + len(files)
    assert ledger.dead_lettered == len(world.lake_rows("dead_letters")) == world.ledger(Kind.DEAD_LETTERS).landed
