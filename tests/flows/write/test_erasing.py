"""Records of an erased subject never pass a flow again, and each of them is accounted for."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from contracts.batches import Reject
from contracts.messages import ERASED, Kind, Message
from contracts.query import And, Node, Not, Term
from contracts.records import DeadLetterRow, Row
from contracts.tenants import tenant_named
from flows.arrivals import Item
from flows.erase_bus import eraser
from flows.graph import parser
from flows.write.dead_letters import letters
from flows.write.erasing import Erasing
from lakehouse.delta.schemas import ERASURES
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import Request, Tombstones, begin, finish, unfinished
from lakehouse.lake.erasure_tests import Subject
from tests.flows.messages import ARRIVAL_NS, TENANT, arrived, balanced, bodies, foreign, line, message
from tests.flows.running import World
from tests.settings import settings

BOB = Term("attributes.user", "bob")
AFTER_NS = ARRIVAL_NS + 1_000_000
LINES = [
    line("one", attributes={"user": "bob"}),
    line("two", attributes={"user": "eve"}),
    line("three", attributes={"user": "bob"}),
]


def request(where: Node = BOB, at_ns: int = AFTER_NS, **values: object) -> Request:
    kinds = dict.fromkeys((Kind.LOGS, Kind.METRICS, Kind.EVENTS), where)
    known = {"id": "e1", "tenant": TENANT, "where": kinds, "query": "user:bob", "at_ns": at_ns}
    return Request(**{**known, **values})  # type: ignore[arg-type]


def tombstones(folder: Path, *requests: Request) -> Tombstones:
    for each in requests:
        begin(Delta(str(folder), ERASURES), each, ARRIVAL_NS)
    return Tombstones(str(folder), settings())


def passed(stones: Tombstones, item: Item) -> Item:
    def on(batch: Item) -> Sequence[Item]:
        return [batch]

    (found,) = Erasing(lambda: stones, threading.Event(), on)(item)
    return found


def parsed(sent: Message, kind: Kind = Kind.LOGS) -> Item:
    return parser(kind, settings())(arrived(sent, kind=kind))


def test_only_records_of_the_subject_from_before_the_erasure_are_dropped_and_they_are_counted(tmp_path: Path) -> None:
    stones = tombstones(tmp_path, request())

    old, new = (parsed(message(LINES, received_ns=at_ns)) for at_ns in (ARRIVAL_NS, AFTER_NS))

    assert bodies(passed(stones, old)) == ["two"]
    assert balanced(passed(stones, old)).dropped == {ERASED: 2}
    assert passed(stones, new) is new


class Unread(list[Row]):
    """Rows that must not be looked at."""

    def __iter__(self) -> Iterator[Row]:
        raise AssertionError("a row was looked at")


def test_an_erasure_from_before_a_batch_looks_at_no_row_of_it(tmp_path: Path) -> None:
    stones = tombstones(tmp_path, *(request(id=f"e{number}", at_ns=ARRIVAL_NS - number * 1000) for number in range(20)))
    new = balanced(parsed(message(LINES)))
    unread = dataclasses.replace(new, rows=Unread(new.rows))

    assert passed(stones, unread) is unread
    with pytest.raises(AssertionError, match="a row was looked at"):
        passed(tombstones(tmp_path / "later", request()), unread)


def test_of_many_erasures_only_those_after_the_arrival_are_asked_for(tmp_path: Path) -> None:
    times = [AFTER_NS, AFTER_NS + 2000, AFTER_NS - 1000, AFTER_NS + 1000]
    stones = tombstones(tmp_path, *(request(id=f"e{at_ns}", at_ns=at_ns) for at_ns in times))

    assert [tests.subject.before_ns for tests in stones.of(TENANT, AFTER_NS)] == [AFTER_NS + 1000, AFTER_NS + 2000]
    assert len(stones.of(TENANT, AFTER_NS - 1001)) == len(stones.of(TENANT)) == 4
    assert not stones.of(TENANT, AFTER_NS + 2000)


def test_a_letter_goes_by_the_arrival_of_its_record_not_by_its_own(tmp_path: Path) -> None:
    stones = tombstones(tmp_path, request())
    texts = (b"bob, not JSON", b"eve, not JSON")
    told = [Reject(index, text, "invalid_json", "no JSON", "decode") for index, text in enumerate(texts)]
    batch = dataclasses.replace(balanced(parsed(message(LINES))), rejects=told)
    sent, _ = letters(batch, told, "", AFTER_NS + 1_000_000_000)

    found = balanced(passed(stones, parsed(sent, Kind.DEAD_LETTERS)))

    assert [row.payload for row in found.rows if isinstance(row, DeadLetterRow)] == [texts[1]]


def test_another_tenant_and_a_lake_without_erasures_are_left_alone(tmp_path: Path) -> None:
    foreign_tenant = parsed(message(LINES, tenant=tenant_named("other")))

    assert passed(tombstones(tmp_path, request()), foreign_tenant) is foreign_tenant
    assert bodies(passed(tombstones(tmp_path / "none"), parsed(message(LINES)))) == ["one", "two", "three"]
    assert not (tmp_path / "none").exists()


def test_a_record_that_cannot_be_read_goes_by_what_its_text_says(tmp_path: Path) -> None:
    bad = [b'{"bodi": "of bob"}', b'{"bodi": "of eve"}', b'{"body": 7, "attributes": {"user": "b\\u006fb"}}']

    found = balanced(passed(tombstones(tmp_path, request()), parsed(message(bad))))

    assert [reject.index for reject in found.rejects] == [1]
    assert found.dropped == {ERASED: 2}


def test_what_a_text_cannot_tell_erases_no_letter(tmp_path: Path) -> None:
    where = And((BOB, Not(Term("service", "api"))))
    lines = [b"bob, not JSON", b"eve, not JSON"]

    found = balanced(passed(tombstones(tmp_path, request(where)), parsed(message(lines))))

    assert [reject.index for reject in found.rejects] == [1]
    only_not = tombstones(tmp_path / "not", request(Not(Term("service", "api"))))
    assert len(balanced(passed(only_not, parsed(message(lines)))).rejects) == 2


def test_a_new_erasure_is_seen_after_a_look_and_an_ended_one_still_holds(tmp_path: Path) -> None:
    table, now = Delta(str(tmp_path), ERASURES), [0.0]
    stones = Tombstones(str(tmp_path), settings(), lambda: now[0])
    assert not stones.of(TENANT)

    begin(table, request(), ARRIVAL_NS)
    begin(table, request(), ARRIVAL_NS)
    assert not stones.of(TENANT)
    now[0] = settings().erase_look_s

    assert len(stones.of(TENANT)) == 1
    assert unfinished(table) == [request()] == list(stones.unfinished())
    finish(table, request(), ARRIVAL_NS, "{}")
    now[0] *= 2
    assert len(stones.of(TENANT)) == 1
    assert not stones.unfinished()


def test_a_blanked_message_keeps_its_line_numbers_and_its_count() -> None:
    subject = Subject(TENANT, {Kind.LOGS: BOB}, AFTER_NS)
    for sent in (message(LINES), message(LINES, packed=True), message([b"", *LINES, b"no JSON of bob"])):
        before = balanced(parsed(sent))

        changed = eraser(Kind.LOGS, subject, settings())(0, sent)

        assert changed is not None
        after = balanced(parser(Kind.LOGS, settings())(arrived(changed)))
        assert bodies(after) == ["two"]
        assert [row.index for row in after.rows] == [row.index for row in before.rows if row.body == "two"]  # type: ignore[union-attr]
        assert after.received == before.received
        assert eraser(Kind.LOGS, subject, settings())(0, changed) is None


def test_a_message_that_is_all_of_the_subject_or_cannot_be_taken_apart_is_emptied() -> None:
    subject = Subject(TENANT, {Kind.LOGS: BOB}, AFTER_NS)
    damaged = foreign(b"lines of bob\nand eve", headers={"headwater-batch": "{", "headwater-version": "1"})
    for sent in (message([LINES[0], LINES[2]]), damaged):
        before = balanced(parsed(sent))

        changed = eraser(Kind.LOGS, subject, settings())(0, sent)

        assert changed is not None
        assert changed.payload == b""
        assert balanced(parsed(changed)).dropped == {ERASED: before.received}


def test_flows_that_run_land_nothing_of_a_subject_that_was_erased_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    begin(Delta(world.settings.lake, ERASURES), request(), ARRIVAL_NS)
    letter = msgspec.json.encode({"bodi": "bob"})
    world.append(message([*LINES, letter]), message([b"{"], sequence=4))

    world.run()

    assert world.lake_bodies() == world.hot_bodies() == {"two": 1}
    assert world.ledger().dropped == {ERASED: 3}
    assert [row["payload"] for row in world.lake_rows("dead_letters")] == [b"{"]
