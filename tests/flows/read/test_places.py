"""A bus that is lost and made anew under its stores: what was acknowledged after that is there once, as all before."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from bytewax.errors import BytewaxRuntimeError

import lakehouse.lake.writer
from contracts.errors import ConfigError, StoreError
from contracts.messages import Kind, Message
from flows.read import places
from flows.write.sinks import HotPart
from headwater.commands import status
from headwater.doctor import lake as doctor_lake
from lakehouse.lake.numbering import MARGIN, Base, note_bases
from lakehouse.lake.store import Lake
from query_api.account import Account, Ledgers, take
from query_api.places import replaced
from tests.flows.messages import TENANT, line, message
from tests.flows.running import World

OLD, NEW = 20, 60  # the new bus has passed the old checkpoints before a flow looks at it


def numbered(name: str, start: int, end: int) -> list[Message]:
    """One message a record, in a stream of its own."""
    return [message([line(f"{name}{number}")], stream=name, sequence=number) for number in range(start, end)]


def once(name: str, start: int, end: int) -> Counter[str]:
    return Counter(f"{name}{number}" for number in range(start, end))


def lose(world: World) -> None:
    """Remove the file; the next look makes a new one."""
    world.connections.close()
    for path in world.settings.data.glob("bus.db*"):
        path.unlink()
    world.reopen()


def logs_account(world: World) -> Account:
    ledgers = Ledgers(world.connections.bus, world.connections.lake, world.connections.hot, TENANT)
    (entry,) = [entry for entry in take(ledgers, TENANT) if entry.kind is Kind.LOGS]
    return entry


def check(world: World, expected: Counter[str], hot: bool = True) -> None:
    world.reopen()
    assert world.lake_bodies() == expected
    assert not hot or world.hot_bodies() == expected
    entry = logs_account(world)
    assert (entry.difference, entry.in_flight, entry.visible) == (0, 0, expected.total())
    places_ = {(row["bus_partition"], row["bus_offset"], row["bus_index"]) for row in world.lake_rows()}
    assert len(places_) == expected.total()


@pytest.fixture
def passed(world: World) -> World:
    """A world whose bus was lost; the new one is longer than the stores' checkpoints, and no flow ran since."""
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    lose(world)
    world.append(*numbered("new", 0, NEW), key="k")
    return world


def test_a_new_bus_that_has_passed_the_old_checkpoints_is_read_from_its_beginning(
    passed: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert replaced(passed.connections.bus, passed.connections.lake) == [Kind.LOGS, Kind.DEAD_LETTERS]
    assert "lost and made anew" in doctor_lake.lake(passed.settings).finding
    assert status.gather(passed.settings, None)["replaced"] == ["logs", "dead_letters"]
    entry = logs_account(passed)
    assert (entry.in_flight, entry.difference, entry.lag["lake"].records) == (NEW, 0, NEW)

    with caplog.at_level(logging.WARNING, "headwater.flows"):
        passed.run(*Kind)

    assert "another one than the stores were filled from" in caplog.text
    check(passed, once("old", 0, OLD) + once("new", 0, NEW))
    assert replaced(passed.connections.bus, passed.connections.lake) == []
    assert logs_account(passed).lost == 0


def test_a_new_bus_that_is_shorter_than_the_old_checkpoints_is_read_too_and_goes_on(world: World) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    lose(world)
    world.append(*numbered("new", 0, 3), key="k")
    world.run()
    world.append(*numbered("new", 3, 9), *numbered("new", 0, 2), key="k")  # and two repeats
    world.run()

    check(world, once("old", 0, OLD) + once("new", 0, 9))
    assert logs_account(world).duplicates == 2


def test_a_bus_may_be_lost_again_and_again(world: World) -> None:
    expected: Counter[str] = Counter()
    for name in ("a", "b", "c", "d"):
        world.append(*numbered(name, 0, OLD), key="k")
        if name != "c":  # lost before a flow saw it
            world.run()
            expected += once(name, 0, OLD)
        lose(world)
    world.append(*numbered("e", 0, 2 * OLD), key="k")
    world.run()

    check(world, expected + once("e", 0, 2 * OLD))


def test_both_tiers_agree_on_pages_over_the_change(passed: World) -> None:
    passed.run()
    rows = passed.lake_rows()
    offsets = {row["body"]: row["bus_offset"] for row in rows}
    assert all(offsets[f"new{number}"] == OLD + MARGIN + number for number in range(NEW))


def test_what_the_lake_had_not_taken_is_lost_by_count_and_stays_in_the_hot_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    world.append(*numbered("old", OLD, OLD + 5), key="k")
    with monkeypatch.context() as patch:
        patch.setattr(lakehouse.lake.writer.LakeWriter, "commit", lambda self: self.before_commit())
        patch.setattr(World, "behind", lambda self, _: len(self.hot_bodies()) < OLD + 5)
        world.run()
    lose(world)
    world.append(*numbered("new", 0, NEW), key="k")
    world.run()

    world.reopen()
    assert world.lake_bodies() == once("old", 0, OLD) + once("new", 0, NEW)
    assert world.hot_bodies() == once("old", 0, OLD + 5) + once("new", 0, NEW)
    entry = logs_account(world)
    assert (entry.lost, entry.difference) == (5, 0)


def test_rows_that_a_crash_left_without_an_account_get_it_though_the_bus_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    ledger_rows = lakehouse.lake.writer.ledger_rows

    def die(*_: Any) -> None:
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as patch:
        patch.setattr(lakehouse.lake.writer, "ledger_rows", die)
        with pytest.raises(BytewaxRuntimeError):
            world.run()
    assert ledger_rows is lakehouse.lake.writer.ledger_rows
    lose(world)
    world.append(*numbered("new", 0, NEW), key="k")
    world.run()

    check(world, once("old", 0, OLD) + once("new", 0, NEW))


def before_the_note(patch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise RuntimeError("before the note")

    patch.setattr(Lake, "note_bases", die)


def after_the_note(patch: pytest.MonkeyPatch) -> None:
    def die(*given: Any) -> None:
        note_bases(*given)
        raise RuntimeError("after the note")

    patch.setattr("lakehouse.lake.store.note_bases", die)


def with_rows_in_the_hot_store_alone(patch: pytest.MonkeyPatch) -> None:
    commit = HotPart._commit_once

    def die(self: HotPart) -> None:
        commit(self)
        raise RuntimeError("hot store committed")

    patch.setattr(HotPart, "_commit_once", die)


def with_rows_and_no_account(patch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise RuntimeError("rows committed")

    patch.setattr(lakehouse.lake.writer, "ledger_rows", die)


@pytest.mark.parametrize(
    "crash", [before_the_note, after_the_note, with_rows_in_the_hot_store_alone, with_rows_and_no_account]
)
def test_a_crash_on_the_way_changes_nothing(
    passed: World, crash: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patch:
            crash(patch)
            with pytest.raises(BytewaxRuntimeError):
                passed.run()
        passed.reopen()
    passed.run()

    check(passed, once("old", 0, OLD) + once("new", 0, NEW))


def test_two_flows_that_see_a_new_bus_at_once_count_it_alike(passed: World) -> None:
    lake, identity = passed.connections.lake, passed.connections.bus.identity(Kind.LOGS.topic)
    one = lake.note_bases(Kind.LOGS, identity, {0: 1000, 1: 1000})
    two = lake.note_bases(Kind.LOGS, identity, {0: 5000, 1: 5000})
    assert one == two == {0: Base(1000, 1000), 1: Base(1000, 1000)}


def test_a_flow_under_which_the_bus_is_replaced_ends_so_that_the_next_start_reads_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*numbered("old", 0, OLD), key="k")
    world.run()
    swapped: list[World] = []

    def swap(self: World, _: Any) -> bool:
        """Files are exchanged while the flow runs."""
        if not swapped:
            for path in self.settings.data.glob("bus.db*"):
                path.unlink()
            swapped.append(World(self.settings.data.parent))
            swapped[0].append(*numbered("new", 0, NEW), key="k")
            swapped[0].connections.close()
        return True

    with monkeypatch.context() as patch:
        patch.setattr("flows.read.source.LOOK_S", 0.05)
        patch.setattr(World, "behind", swap)
        with pytest.raises(BytewaxRuntimeError) as raised:
            world.run()
    assert isinstance(raised.value.__cause__, ConfigError)
    assert "made anew" in str(raised.value.__cause__) or "replaced by another" in str(raised.value.__cause__)
    world.reopen()
    world.run()

    check(world, once("old", 0, OLD) + once("new", 0, NEW))


def test_an_older_bus_that_comes_back_after_a_newer_one_was_read_is_refused(passed: World) -> None:
    passed.connections.close()
    new = {path: path.read_bytes() for path in passed.settings.data.glob("bus.db*")}
    passed.reopen()
    passed.run()
    lose(passed)
    passed.append(*numbered("last", 0, NEW), key="k")
    passed.run()
    lose(passed)
    passed.connections.close()
    for path, held in new.items():
        path.write_bytes(held)
    passed.reopen()

    with pytest.raises(ConfigError, match="replaced by another"):
        places.start_of(passed.connections, Kind.LOGS, 0)


def test_without_a_look_at_the_identity_records_would_be_lost(passed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: the test above can fail."""
    monkeypatch.setattr(type(passed.connections.bus), "identity", lambda *_: "always the same")
    monkeypatch.setattr(Lake, "bases", lambda *_: {0: Base(0, 0), 1: Base(0, 0)})
    passed.run()
    assert passed.lake_bodies() == once("old", 0, OLD) + once("new", OLD, NEW)


def test_a_lake_that_cannot_be_written_yet_is_waited_for(passed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Lake.note_bases
    tries: list[int] = []

    def refuse(self: Lake, *given: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise StoreError("the lake is away")
        return noted(self, *given)

    monkeypatch.setattr(Lake, "note_bases", refuse)
    passed.run()
    check(passed, once("old", 0, OLD) + once("new", 0, NEW))
