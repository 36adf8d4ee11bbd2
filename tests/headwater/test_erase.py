"""An erased subject is nowhere: not in answers, not in files, and no replay brings it back."""

from __future__ import annotations

import shutil
from pathlib import Path

from contracts.messages import ERASED, Kind
from lakehouse.tables import ERASURES
from lakehouse.tiers.care import Care
from lakehouse.tiers.erasure import plan, unfinished
from lakehouse.tiers.rebuild import rebuild_hot
from tests.flows.messages import TENANT
from tests.flows.running import World
from tests.headwater.erasing import (
    KINDS,
    OTHER,
    ask,
    bodies,
    differences,
    filled,
    kept,
    places,
    replayed_letters,
    run,
)


def test_an_erased_subject_is_in_no_answer_and_no_file_and_everybody_else_is(tmp_path: Path) -> None:
    world = filled(tmp_path)
    others = bodies(world, OTHER)
    held = places(world, tenant=OTHER)
    assert {"bus.db", "dead_letters", "events", "logs", "metrics"} <= {
        part for path in held for part in path.split("/")
    }
    assert [path for path in places(world) if path.startswith("hot/logs/")]

    facts = run(world, ask(world))
    world.reopen()

    assert bodies(world) == kept()
    assert bodies(world, OTHER) == others
    assert places(world, tenant=OTHER) == []
    assert differences(world) == {}
    assert {entry["kind"]: entry["rows"] for entry in facts["removed"]} == dict.fromkeys(map(str, KINDS), 3)
    total = next(entry for entry in world.connections.lake.ledger(TENANT) if entry.kind is Kind.LOGS)
    assert total.dropped == {ERASED: 3}
    assert total.landed == total.stored + 3


def test_closed_days_are_in_the_hot_store_again_and_the_open_one_is_answered_by_the_lake(tmp_path: Path) -> None:
    world = filled(tmp_path)
    days = list(world.connections.hot.days(Kind.LOGS))

    run(world, ask(world))
    world.reopen()

    assert list(world.connections.hot.days(Kind.LOGS)) == days[:-1]
    assert bodies(world) == kept()


def replay(world: World) -> None:
    """What is on the bus, again; every day of the hot store from the lake; and every dead letter, sent again."""
    world.reopen()
    world.run(*KINDS)
    care = Care(world.settings)
    for kind in (Kind.LOGS, Kind.METRICS, Kind.EVENTS):
        for held in care.hot.held(kind):
            if held.day < care.today():
                rebuild_hot(care, kind, held.day)
    care.close()
    world.append(*replayed_letters(world))
    world.run(*KINDS)
    world.reopen()


def test_a_replay_of_bus_and_dead_letters_into_an_empty_hot_store_brings_nothing_back(tmp_path: Path) -> None:
    world = filled(tmp_path)
    run(world, ask(world))
    world.connections.close()
    shutil.rmtree(world.settings.data / "hot")

    replay(world)

    assert bodies(world) == kept()
    assert places(world, tenant=OTHER) == []
    assert differences(world) == {}


def from_an_old_copy_of_the_bus(folder: Path, keep_tombstones: bool) -> World:
    """Stores are made anew from a copy of the bus that was taken before the erasure."""
    world = filled(folder)
    world.connections.close()
    shutil.copytree(world.settings.data, folder / "copy")
    world.reopen()
    run(world, ask(world))
    world.connections.close()
    for gone in ("hot", "lake"):
        for path in (world.settings.data / gone).iterdir():
            if path.name != ERASURES or not keep_tombstones:
                shutil.rmtree(path)
    for path in world.settings.data.glob("bus.db*"):
        path.unlink()
    for path in (folder / "copy").glob("bus.db*"):
        shutil.copy(path, world.settings.data)
    replay(world)
    return world


def test_stores_made_anew_from_an_old_copy_of_the_bus_hold_nothing_of_the_subject(tmp_path: Path) -> None:
    world = from_an_old_copy_of_the_bus(tmp_path, keep_tombstones=True)

    assert bodies(world) == kept()
    assert [path for path in places(world, tenant=OTHER) if path != "bus.db"] == []
    assert differences(world) == {}


def test_without_its_tombstone_that_replay_would_bring_the_subject_back(tmp_path: Path) -> None:
    world = from_an_old_copy_of_the_bus(tmp_path, keep_tombstones=False)

    assert bodies(world) != kept()


def test_stores_made_anew_from_the_blanked_bus_account_for_every_record_that_was_accepted(tmp_path: Path) -> None:
    world = filled(tmp_path)
    run(world, ask(world))
    world.connections.close()
    for gone in ("hot", "lake"):
        shutil.rmtree(world.settings.data / gone)

    replay(world)

    assert bodies(world) == kept()
    assert places(world, tenant=OTHER) == []
    assert differences(world) == {}


def test_a_plan_changes_nothing_and_says_where_the_records_are(tmp_path: Path) -> None:
    world = filled(tmp_path)
    before, held = bodies(world), places(world, tenant=OTHER)
    care = Care(world.settings)

    found = plan(care, ask(world))

    assert {name: sum(days.values()) for name, days in found.rows.items()} == {
        **{f"lake/{kind}": 3 for kind in KINDS},
        **{f"hot/{kind}": 3 for kind in KINDS if kind is not Kind.DEAD_LETTERS},
    }
    assert (bodies(world), places(world, tenant=OTHER)) == (before, held)
    assert not unfinished(care)
    care.close()
