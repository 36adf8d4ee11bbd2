"""Hostile payloads through the whole flow: both stores hold the same, and every record is accounted for."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Kind, Message
from contracts.query import Exists, Node, Not, Range, Term, Wildcard
from flows.arrivals import Item
from flows.graph import parser
from flows.write.dead_letters import in_parts, letters
from flows.write.erasing import Erasing
from lakehouse.delta.schemas import ERASURES
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import Request, Tombstones, begin, finish
from tests.flows.hostile import GOOD, messages
from tests.flows.messages import ARRIVAL_NS, TENANT, arrived, balanced, foreign, line, message
from tests.flows.running import World
from tests.samples.json_texts import JsonText
from tests.samples.sources import STRINGS_AND_JSON
from tests.settings import settings

KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
BEFORE_NS = ARRIVAL_NS + 1_000_000  # the messages arrived before the erasures, as those of a replay have
ERASED_ONES: tuple[Node, ...] = (
    Term("attributes.user", "bob"),
    Wildcard("attributes.user", "b*b"),
    Not(Exists("service")),
    Range("attributes.n", 1, 5),
)

ODD = (
    {"n": [1, "x", True, None, 1.5], "o": {"p": [{"q": 1}]}, "": "empty key"},
    {"big": 2**63, "bigger": 2**64 - 1, "less": -(2**63), "huge": 1e308, "tiny": 5e-324},
    {"k" * 300: "long key", "v": "x" * 70_000},
    {"nul": "a\x00b", "right to left": "\u202eabc", "astral": "\U0001f600"},
    {"a.b": 1, "a": {"b": 2}},
)


def erasing(folder: str) -> Tombstones:
    """Erasures that concern every record of `hostile.messages`, of none of which is anything left to do."""
    for number, where in enumerate(ERASED_ONES):
        subject = Request(f"e{number}", TENANT, dict.fromkeys(KINDS, where), "", BEFORE_NS)
        table = Delta(folder, ERASURES)
        begin(table, subject, ARRIVAL_NS)
        finish(table, subject, ARRIVAL_NS, "{}")
    return Tombstones(folder, settings())


def walked(sent: Message, kind: Kind, stones: Tombstones) -> None:
    """The message through every step that looks into it, and what becomes of it in the dead letters."""
    passed: list[Item] = []

    def following(item: Item) -> Sequence[Item]:
        passed.append(item)
        return [item]

    Erasing(lambda: stones, threading.Event(), following)(parser(kind, settings())(arrived(sent, kind=kind)))
    (batch,) = map(balanced, passed)
    for part in in_parts(batch.rejects) if batch.rejects else ():
        walked(letters(batch, part, "", ARRIVAL_NS)[0], Kind.DEAD_LETTERS, stones)


@pytest.mark.parametrize("kind", Kind)
def test_no_message_of_any_kind_ends_a_flow(world: World, kind: Kind) -> None:
    erasing(world.settings.lake)
    sent = messages(kind)
    world.append(*sent, kind=kind, key="hostile")

    world.run(kind, Kind.DEAD_LETTERS) if kind is not Kind.DEAD_LETTERS else world.run(kind)

    totals = world.connections.lake.ledger(TENANT)
    for total in totals:
        accounted = total.landed + total.duplicates + total.dead_lettered + sum(total.dropped.values())
        assert total.received == accounted
        assert total.landed == total.stored
    received = {total.kind: total.received for total in totals}
    assert received[kind] >= len(sent) - 10  # empty ones hold nothing


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("bob"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted({name for good in GOOD.values() for name in good} | {"timestamp", "level", "x"}))
DEEP = st.tuples(st.integers(0, 1100), st.sampled_from(("[", '{"a":')), JSON).map(
    lambda of: of[1] * of[0] + json.dumps(of[2]) + ("]" if of[1] == "[" else "}") * of[0]
)
RECORDS = st.dictionaries(FIELDS, DEEP, max_size=5).map(
    lambda fields: "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields.items()) + "}"
)


@pytest.fixture(scope="module")
def stones(tmp_path_factory: pytest.TempPathFactory) -> Tombstones:
    return erasing(str(tmp_path_factory.mktemp("lake")))


@hypothesis.settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS | DEEP, min_size=1, max_size=3), st.sampled_from(list(Kind)), st.booleans())
def test_whatever_is_made_up_passes_every_step(
    stones: Tombstones, texts: list[str], kind: Kind, is_foreign: bool
) -> None:
    lines = [text.encode(errors="surrogatepass").replace(b"\n", b" ") for text in texts]
    walked(foreign(b"\n".join(lines)) if is_foreign else message(lines, kind=kind), kind, stones)


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


@pytest.mark.parametrize(("strings", "texts"), STRINGS_AND_JSON)
def test_naughty_strings_and_odd_json_are_held_or_accounted_for(
    world: World, strings: list[str], texts: list[JsonText]
) -> None:
    world.append(message([line(text, attributes={text: text}) for text in strings]))
    for text in texts:
        body = text.content.replace(b"\n", b" ")
        world.append(foreign(text.content), foreign(b'{"body": "suite", "attributes": {"a": ' + body + b"}}"))
    world.append(message([line(text.content.decode("utf-8", "replace")) for text in texts], sequence=len(strings)))
    world.run()

    ledger = world.ledger()
    assert alike(world) == ledger.landed
    assert ledger.landed >= len(strings) + len(texts)
    assert ledger.dead_lettered == len(world.lake_rows("dead_letters")) == world.ledger(Kind.DEAD_LETTERS).landed
