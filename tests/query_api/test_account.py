"""The conservation equation: zero when all is well, also while data flows; not zero when something is gone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from deltalake import DeltaTable

from contracts.answers import LedgerTotal
from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind, Message
from contracts.tenants import Tenant
from lakehouse.lake import writer as lake_writer
from query_api import account as module
from query_api.account import Account, Ledgers, account, take
from query_api.bus_counts import Behind, Lag
from tests.query_api.world import OURS, THEIRS, World, event, log


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)


def taken(world: World, tenant: Tenant = OURS) -> dict[Kind, Account]:
    return {entry.kind: entry for entry in account(world.bus, world.lake, tenant)}


def test_nothing_received_is_an_account_of_zeros(world: World) -> None:
    found = taken(world)
    assert set(found) == set(Kind)
    assert all((entry.received, entry.difference, entry.in_flight) == (0, 0, 0) for entry in found.values())


def test_what_is_ahead_of_the_lake_is_in_flight(world: World) -> None:
    world.send(Kind.LOGS, [log("a"), log("b")])
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.in_flight, entry.visible, entry.difference) == (2, 2, 0, 0)
    assert entry.lag == {"lake": Lag(1, 2)}


def test_what_has_landed_is_visible_and_the_rest_is_told_by_its_fate(world: World) -> None:
    batches = [
        world.send(Kind.LOGS, [log("a"), log("b")], duplicates=3),
        world.send(Kind.LOGS, [log("c")]),
    ]
    world.land(Kind.LOGS, batches)
    world.send(Kind.LOGS, [log("d")])
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.visible, entry.duplicates, entry.in_flight, entry.difference) == (7, 3, 3, 1, 0)


def test_a_tenant_sees_its_own_account_and_everybody_is_every_tenant(world: World) -> None:
    world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("a")]), world.send(Kind.LOGS, [log("b")], THEIRS)])
    world.send(Kind.EVENTS, [event("x"), event("y")], THEIRS)
    assert taken(world)[Kind.LOGS].received == 1
    assert taken(world)[Kind.EVENTS].received == 0
    assert taken(world, THEIRS)[Kind.EVENTS].in_flight == 2
    everybody = account(world.bus, world.lake, None)
    assert {(entry.tenant, entry.kind): entry.received for entry in everybody if entry.received} == {
        (OURS, Kind.LOGS): 1,
        (THEIRS, Kind.LOGS): 1,
        (THEIRS, Kind.EVENTS): 2,
    }


def test_a_dead_letter_counts_before_it_has_landed(world: World) -> None:
    batch = world.send(Kind.LOGS, [log("a")], rejects=2)
    world.send(Kind.DEAD_LETTERS, [], rejects=2)
    world.land(Kind.LOGS, [batch])
    found = taken(world)
    assert (found[Kind.LOGS].dead_lettered, found[Kind.LOGS].difference) == (2, 0)
    assert (found[Kind.DEAD_LETTERS].in_flight, found[Kind.DEAD_LETTERS].difference) == (2, 0)


def test_a_dead_letter_that_is_nowhere_is_a_difference(world: World) -> None:
    batch = world.send(Kind.LOGS, [log("a")], rejects=2)
    world.send(Kind.DEAD_LETTERS, [], rejects=1)
    world.land(Kind.LOGS, [batch])
    assert taken(world)[Kind.DEAD_LETTERS].difference == 1


def test_rows_that_are_gone_or_doubled_are_a_difference(world: World) -> None:
    world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("a"), log("b"), log("c")])])
    table = DeltaTable(Path(world.settings.lake) / "logs")
    table.delete("body = 'b'")
    assert taken(world)[Kind.LOGS].difference == 1


def test_offsets_that_expired_unread_are_lost(world: World) -> None:
    writer = world.lake.writer(Kind.LOGS)
    writer.note_lost(0, 0, 5)
    writer.commit()
    entry = taken(world)[Kind.LOGS]
    assert (entry.lost, entry.received, entry.difference) == (5, 0, 0)


def test_messages_without_or_with_damaged_headers_count_as_one_of_the_foreign_tenant(world: World) -> None:
    damaged = {"headwater-version": "1", "headwater-batch": "{"}
    world.bus.append("logs.raw", "k", [Message(b"{}"), Message(b"{}", damaged), Message(b"{}", {"x": "y"})])
    entries = take(Ledgers(world.bus, world.lake, foreign_tenant=THEIRS), THEIRS)
    assert {entry.kind: entry.in_flight for entry in entries}[Kind.LOGS] == 3


def test_flowing_data_never_looks_like_a_difference(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 100)  # this lake commits ten times a second, on a machine that may be busy
    enough = threading.Event()
    sent = [0]

    def flow() -> None:
        pending: list[Batch] = []
        while not enough.wait(0.02):
            pending.append(world.send(Kind.LOGS, [log(str(sent[0]))], duplicates=sent[0] % 3))
            sent[0] += 1 + sent[0] % 3
            if len(pending) == 4:
                world.land(Kind.LOGS, pending)
                pending = []
        world.land(Kind.LOGS, pending)

    thread = threading.Thread(target=flow)
    thread.start()
    differences = set()
    try:
        while sent[0] < 80:
            differences.add(taken(world)[Kind.LOGS].difference)
    finally:
        enough.set()
        thread.join()
    assert differences == {0}
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.in_flight, entry.difference) == (sent[0], 0, 0)


def test_a_message_that_no_flow_has_accounted_for_is_a_difference(world: World) -> None:
    first, _skipped, third = (world.send(Kind.LOGS, [log(body)]) for body in "abc")
    world.land(Kind.LOGS, [first, third])
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.visible, entry.in_flight, entry.difference) == (3, 2, 0, 1)


def test_what_retention_took_is_counted_by_the_ledger(world: World) -> None:
    batches = [world.send(Kind.LOGS, [log(body)]) for body in "abc"]
    world.land(Kind.LOGS, batches)
    keeping = Ledgers(world.bus, world.lake)
    take(keeping, OURS)
    with sqlite3.connect(world.settings.bus.removeprefix("sqlite:///")) as file:
        file.execute("DELETE FROM messages WHERE position = (SELECT min(position) FROM messages)")
    file.close()
    batches = [world.send(Kind.LOGS, [log("d")])]
    world.land(Kind.LOGS, batches)
    for ledgers in (keeping, Ledgers(world.bus, world.lake)):
        entry = take(ledgers, OURS)[0]
        assert (entry.kind, entry.received, entry.visible, entry.difference) == (Kind.LOGS, 4, 4, 0)


def test_a_long_bus_is_counted_a_part_at_a_time(world: World) -> None:
    batches = [world.send(Kind.LOGS, [log(str(number))]) for number in range(25)]
    world.land(Kind.LOGS, batches)
    behind = Behind(budget=10)
    checkpoints = world.lake.checkpoints(Kind.LOGS)
    counts = [behind.received(world.bus, Kind.LOGS, checkpoints, OURS) for _ in range(4)]
    assert counts == [None, None, {OURS: 25}, {OURS: 25}]


def landing_at_each_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    look = world.lake.ledger

    def ledger(tenant: Tenant | None) -> Sequence[LedgerTotal]:
        world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("x")])])
        return look(tenant)

    monkeypatch.setattr(world.lake, "ledger", ledger)


def test_a_commit_in_between_is_never_part_of_an_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    landing_at_each_look(world, monkeypatch)
    with pytest.raises(StoreError, match="the lake committed during every try"):
        taken(world)


def killed(*_: object) -> NoReturn:
    raise InterruptedError


def test_rows_that_wait_for_their_ledger_entry_are_no_difference(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.land(Kind.LOGS, [world.send(Kind.LOGS, [log("before")])])
    batch = world.send(Kind.LOGS, [log("a"), log("b")])
    writer = world.lake.writer(Kind.LOGS)
    writer.append([batch])
    with monkeypatch.context() as patch:
        patch.setattr(lake_writer, "ledger_rows", killed)
        with pytest.raises(InterruptedError):
            writer.commit()
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.visible, entry.in_flight, entry.difference) == (3, 1, 2, 0)

    writer.close()
    world.land(Kind.LOGS, [batch])
    entry = taken(world)[Kind.LOGS]
    assert (entry.received, entry.visible, entry.in_flight, entry.difference) == (3, 3, 0, 0)
