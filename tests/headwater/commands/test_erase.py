"""An erased subject is nowhere: not in answers, not in files, and no replay brings it back."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError, QueryError, StoreError
from contracts.failpoints import VARIABLE
from contracts.messages import ERASED, Kind
from headwater.commands.erase import Wanted, erase, requested, resume
from lakehouse.delta.schemas import ERASURES
from lakehouse.lake.erasure_requests import begin
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure import erase as erasure
from lakehouse.upkeep.erasure.erase import Means, plan, unfinished
from lakehouse.upkeep.erasure.receipts import receipt_file, verify
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from tests import children, storage
from tests.flows.messages import TENANT
from tests.flows.running import World
from tests.headwater.erasing import (
    KINDS,
    MARKER,
    ORPHAN,
    OTHER,
    OTHERS,
    QUERY,
    ask,
    bodies,
    copied,
    differences,
    filled,
    kept,
    places,
    replayed_letters,
    run,
    running,
)
from tests.settings import settings

FAILPOINTS = (
    "erase.told",
    "erase.rows_removed#4",
    "hot.forgotten_marked",
    "erase.hot_forgotten",
    "erase.rollup_restated",
    "erase.bus_blanked",
    "erase.file_deleted#2",
    "erase.receipt_written",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    filled(folder)
    return folder


@pytest.fixture(scope="module")
def erased_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("erased")
    world = copied(template, folder)
    run(world, ask(world))
    world.connections.close()
    return folder


@pytest.fixture
def erased(erased_template: Path, tmp_path: Path) -> World:
    """A world after the erasure."""
    return copied(erased_template, tmp_path / "erased")


@pytest.fixture
def world(template: Path, tmp_path: Path) -> World:
    return copied(template, tmp_path / "world")


def gone(world: World) -> None:
    """No answer and no file has anything of the subject, and everybody else has all."""
    world.reopen()
    assert bodies(world) == kept()
    assert bodies(world, OTHER) == kept(OTHERS)
    assert places(world) == []
    assert differences(world) == {}


def test_an_erased_subject_is_in_no_answer_and_no_file_and_everybody_else_is(world: World) -> None:
    held = places(world)
    parts = {part for path in held for part in path.split("/")}
    assert {"bus.db", "hot", "archive", "lake", "metrics_1m", "metrics_1h", *map(str, KINDS)} <= parts
    assert ORPHAN in held

    facts = run(world, ask(world))

    gone(world)
    assert {(entry["tier"], entry["kind"]): entry["rows"] for entry in facts["removed"]} == {
        ("lake", "logs"): 2,
        ("archive", "logs"): 1,
        ("lake", "metrics"): 2,
        ("archive", "metrics"): 1,
        ("lake", "events"): 3,
        ("lake", "dead_letters"): 3,
    }
    total = next(entry for entry in world.connections.lake.ledger(TENANT) if entry.kind is Kind.LOGS)
    assert total.dropped == {ERASED: 3}
    assert total.landed == total.stored + 3
    assert facts["bus"]["logs.raw"]["records"] == 12
    assert len(world.connections.hot.days(Kind.LOGS)) == 2  # the open day is answered by the lake


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


def without(world: World, *tiers: str, but: str = "") -> World:
    """The tiers are lost, but for one table."""
    world.connections.close()
    for tier in tiers:
        storage.remove(world.settings, tier, but)
    return world


def with_bus_of(world: World, template: Path) -> World:
    for path in world.settings.data.glob("bus.db*"):
        path.unlink()
    for path in template.glob("data/bus.db*"):
        shutil.copy(path, world.settings.data)
    return world


def test_a_replay_of_bus_and_dead_letters_into_an_empty_hot_store_brings_nothing_back(erased: World) -> None:
    replay(without(erased, "hot"))

    gone(erased)


def test_stores_made_anew_from_an_old_copy_of_the_bus_hold_nothing_of_the_subject(
    erased: World, template: Path
) -> None:
    replay(with_bus_of(without(erased, "hot", "lake", "archive", but=ERASURES), template))

    erased.reopen()
    assert bodies(erased) == kept()
    assert {Path(path).name for path in places(erased)} <= {"bus.db", "bus.db-wal"}
    assert differences(erased) == {}


def test_without_its_tombstone_that_replay_would_bring_the_subject_back(erased: World, template: Path) -> None:
    world = with_bus_of(without(erased, "hot", "lake", "archive"), template)
    world.reopen()

    world.run(Kind.LOGS)

    assert world.lake_bodies()[f"0 of {MARKER}"] == 1


def test_stores_made_anew_from_the_blanked_bus_account_for_every_record_that_was_accepted(erased: World) -> None:
    replay(without(erased, "hot", "lake", "archive"))

    gone(erased)


def test_flows_that_run_meanwhile_forget_the_open_day_and_go_on(world: World) -> None:
    with running(world) as stop:
        run(world, ask(world), no_flows=False)
        assert not stop.is_set()

    gone(world)


def test_an_erasure_that_is_killed_after_any_step_is_completed_by_the_next_run(world: World) -> None:
    world.connections.close()
    words, loads = ("tests.headwater.erase_child", world.settings.data, QUERY), [
        "flows.erase_bus",
        "lakehouse.read.language.lucene",
    ]

    for at, point in enumerate((*FAILPOINTS, "")):
        what = "resume" if at else "begin"
        done = children.run(*words, what, env={VARIABLE: point}, loads=loads)
        assert done.returncode == (-signal.SIGKILL if point else 0), f"{point}: {done.stdout}{done.stderr}"

    gone(world)
    (receipt,) = (world.settings.data / "receipts").glob("*.json")
    facts = verify(world.settings, receipt)
    assert sum(entry["rows"] for entry in facts["removed"]) == 12
    care = Care(world.settings)
    assert not unfinished(care)
    care.close()


def test_one_that_cannot_be_completed_keeps_no_other_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    care, (first, second), real = Care(world.settings), (ask(world), ask(world)), erasure.resume
    for request in (first, second):
        begin(care.table(ERASURES), request, care.now_ns())

    def away(care: Care, name: str, means: Means) -> dict[str, Any] | None:
        if name == first.id:
            raise StoreError("the lake is away")
        return real(care, name, means)

    monkeypatch.setattr(erasure, "resume", away)
    with pytest.raises(StoreError, match="the lake is away"):
        resume(world.settings, no_flows=True)
    assert [request.id for request in erasure.unfinished(care)] == [first.id]
    care.close()


def test_a_plan_changes_nothing_and_says_where_the_records_are(world: World) -> None:
    before, held = bodies(world), places(world)
    care = Care(world.settings)

    found = plan(care, ask(world))

    assert {name: sum(days.values()) for name, days in found.rows.items()} == {
        "lake/logs": 2,
        "archive/logs": 1,
        "lake/metrics": 2,
        "archive/metrics": 1,
        "lake/events": 3,
        "lake/dead_letters": 3,
        **{f"hot/{kind}": 3 for kind in ("logs", "metrics", "events")},
    }
    assert (bodies(world), places(world)) == (before, held)
    assert not unfinished(care)
    care.close()


def test_a_receipt_that_was_changed_or_signed_elsewhere_is_refused(world: World, tmp_path: Path) -> None:
    request = ask(world, ("events",))
    run(world, request)
    path = receipt_file(world.settings, request.id)
    assert verify(world.settings, path)["reason"] == "article 17"

    path.write_text(path.read_text().replace("article 17", "article 71"))

    with pytest.raises(ConfigError, match="was changed after signing"):
        verify(world.settings, path)
    with pytest.raises(ConfigError, match="is missing"):
        verify(settings(data_dir=tmp_path), path)


@pytest.mark.parametrize(
    ("wanted", "error", "told"),
    [
        (Wanted("default", "  "), ConfigError, "empty query"),
        (Wanted("default", "*"), ConfigError, "would erase everything"),
        (Wanted("default", "user:("), QueryError, "[a-z]"),
        (Wanted("default", "bob", ("metrics",)), QueryError, "needs a field"),
        (Wanted("default", "bob", ("spans",)), ConfigError, "not known"),
        (Wanted("No Tenant", "bob"), ConfigError, "not allowed"),
    ],
)
def test_what_names_no_subject_is_refused(wanted: Wanted, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        requested(settings(), wanted)


def test_words_that_only_some_kinds_have_are_looked_for_in_those() -> None:
    assert set(requested(settings(), Wanted("default", "bob")).where) == {Kind.LOGS, Kind.EVENTS}


def test_the_command_shows_what_would_go_and_without_a_yes_nothing_does(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = places(world)
    monkeypatch.setattr("typer.confirm", lambda _question: False)

    assert erase(world.settings, Wanted("default", QUERY), dry_run=True, yes=False) == 0
    assert erase(world.settings, Wanted("default", QUERY), dry_run=False, yes=False) == 1

    told = capsys.readouterr().out
    assert told.count("bus/logs.raw") == 2
    assert told.count("archive/metrics") == 2
    assert "nothing was changed" in told
    assert places(world) == held
