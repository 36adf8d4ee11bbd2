"""Rows of a subject leave a table by their places or by the query, each counted once."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import ERASED, Kind
from contracts.query import And, Node, Range, Term
from flows.write.erasing import without
from lakehouse.delta.notes import gone
from lakehouse.delta.table import Delta
from lakehouse.lake import writer as lake_writer
from lakehouse.lake.erasure_requests import Request
from lakehouse.lake.erasure_tests import Tests as SubjectTests
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure import rows as erasure_rows
from lakehouse.upkeep.erasure.rows import found, noted, remove_found, targets
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log
from tests.settings import settings

DAY = dt.date(2026, 3, 4)
BOB = Term("attributes.user", "bob")


def request(where: Node, at_ns: int = NOON_NS + 10) -> Request:
    return Request("e1", ACME, {Kind.LOGS: where}, "user:bob", at_ns // 1000 * 1000 + 1000)


@pytest.fixture
def care(tmp_path: Path) -> Care:
    """Two tenants with 30 rows of bob and 30 of eve each, and one of bob that was received later."""
    values = settings(data_dir=tmp_path)
    writer = LakeWriter(values.lake, Kind.LOGS, values)
    for offset in range(20):
        rows = [log(at, attributes={"user": ("bob", "eve")[at % 2], "n": at}) for at in range(6)]
        writer.append([batch(*rows, offset=offset, tenant=(ACME, OTHER)[offset % 2])])
    writer.append([batch(log(0, attributes={"user": "bob", "n": 0}), offset=20, received_ns=NOON_NS + 10**9)])
    writer.commit()
    return Care(values, lambda: NOON_NS + 2 * DAY_NS)


def left(care: Care, table: str = "logs") -> int:
    return sum(file["num_records"] for file in care.table(table).files())


@pytest.mark.parametrize("many", [50_000, 7])
@pytest.mark.parametrize("where", [BOB, And((BOB, Range("attributes.n", 0, 100)))])
def test_the_subjects_rows_go_and_are_counted_whether_by_their_places_or_by_the_query(
    care: Care, monkeypatch: pytest.MonkeyPatch, many: int, where: Node
) -> None:
    monkeypatch.setattr(erasure_rows, "MANY", many)
    monkeypatch.setattr(erasure_rows, "CHUNK_PLACES", 8)
    monkeypatch.setattr(erasure_rows, "CHUNK_GROUPS", 2)
    asked = request(where)
    logs, letters = targets(care, asked)
    assert (found(logs, asked), found(letters, asked)) == ({DAY: 30}, {})

    assert remove_found(logs, asked, DAY) == 30

    assert remove_found(logs, asked, DAY) == 0
    assert found(logs, asked) == {}
    assert left(care) == 121 - 30
    logs.table.refresh()
    assert logs.table.noted(noted(asked, DAY)) == 30
    assert gone(logs.table, [ACME, OTHER]) == {ACME: {ERASED: 30}}


@pytest.mark.parametrize("many", [50_000, 7])
@pytest.mark.parametrize("groups", [500, 2])
def test_a_flow_that_lands_rows_meanwhile_ends_no_removal(
    care: Care, monkeypatch: pytest.MonkeyPatch, many: int, groups: int
) -> None:
    """The engine then reads what it wrote of the predicate again, to see whether both commits stand."""
    monkeypatch.setattr(erasure_rows, "MANY", many)
    monkeypatch.setattr(erasure_rows, "CHUNK_GROUPS", groups)
    real, offsets, is_late = Delta.delete, itertools.count(21), itertools.cycle((True, False))

    def late(table: Delta, where: str, numbers: Mapping[str, int]) -> int:
        if next(is_late):
            flow = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
            for received_ns in (NOON_NS, NOON_NS + DAY_NS):
                flow.append([batch(log(0), offset=next(offsets), received_ns=received_ns)])
            flow.commit()
        return real(table, where, numbers)

    monkeypatch.setattr(Delta, "delete", late)
    logs, _ = targets(care, request(BOB))

    assert remove_found(logs, request(BOB), DAY) == 30
    assert found(logs, request(BOB)) == {}
    assert left(care) == 121 - 30 + next(offsets) - 21


def test_the_log_of_the_table_says_nothing_of_the_subject(care: Care) -> None:
    logs, _ = targets(care, request(BOB))

    remove_found(logs, request(BOB), DAY)

    log_files = list(Path(logs.table.url, "_delta_log").glob("*.json"))
    deletes: list[dict[str, Any]] = [
        entry["commitInfo"]
        for path in log_files
        for entry in map(json.loads, path.read_text().splitlines())
        if entry.get("commitInfo", {}).get("operation") == "DELETE"
    ]
    assert len(deletes) == 1
    assert "bob" not in repr(deletes)


class Stopped(Exception):
    pass


def stop_after_the_copy(point: str) -> None:
    if point == archive.COPIED:
        raise Stopped


def test_copies_of_a_move_that_has_not_ended_go_and_are_not_counted(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archive, "reach", stop_after_the_copy)
        with pytest.raises(Stopped):
            archive.archive_day(care, Kind.LOGS, DAY)
    logs, _, copied = targets(care, request(BOB))
    assert found(copied, request(BOB)) == {DAY: 30}

    remove_found(logs, request(BOB), DAY)
    remove_found(copied, request(BOB), DAY)

    assert found(copied, request(BOB)) == {}
    assert gone(copied.table, [ACME]) == {}
    archive.archive_day(care, Kind.LOGS, DAY)
    copied.table.refresh()
    assert sum(file["num_records"] for file in copied.table.files()) == 91
    assert gone(copied.table, [ACME]) == {}


def test_rows_of_a_day_that_was_archived_are_counted_in_the_archive(care: Care) -> None:
    archive.archive_day(care, Kind.LOGS, DAY)
    logs, _, there = targets(care, request(BOB))

    assert (found(logs, request(BOB)), remove_found(there, request(BOB), DAY)) == ({}, 30)

    assert gone(there.table, [ACME]) == {ACME: {ERASED: 30}}


@pytest.mark.parametrize("first", ["erasure", "flow"])
@pytest.mark.parametrize("tombstone", ["after the crash", "before it"])
def test_rows_that_a_crash_left_without_an_account_are_accounted_for_once(
    care: Care, monkeypatch: pytest.MonkeyPatch, first: str, tombstone: str
) -> None:
    """Killed between rows and ledger, then erased, then replayed; or replayed before the erasure comes to its rows."""
    lines = batch(*(log(at, attributes={"user": ("bob", "eve")[at % 2], "n": at}) for at in range(6)), offset=21)
    left_out = without(lines, [SubjectTests(request(BOB).subject)])
    with monkeypatch.context() as patch:
        patch.setattr(lake_writer, "ledger_rows", crash)
        writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
        writer.append([lines if tombstone == "after the crash" else left_out])
        with pytest.raises(Stopped):
            writer.commit()

    for what in (first, "flow" if first == "erasure" else "erasure"):
        if what == "erasure":
            remove_found(targets(care, request(BOB))[0], request(BOB), DAY)
        else:
            replay = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
            replay.append([left_out])
            replay.commit()

    (total,) = care.lake.ledger(ACME)
    assert (total.stored, total.dropped) == (34, {ERASED: 33})
    assert total.stored + sum(total.dropped.values()) == total.received


def crash(*_: object) -> None:
    raise Stopped


@pytest.mark.parametrize("many", [50_000, 2])
def test_rows_of_which_sql_is_not_sure_are_looked_at_and_go_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(erasure_rows, "MANY", many)
    values = settings(data_dir=tmp_path)
    writer = LakeWriter(values.lake, Kind.LOGS, values)
    bobs: list[Any] = ["bob", ["eve", "bob"], "bob", [["bob"]], "bob", ["bob"]]
    others: list[Any] = ["eve", ["eve"], "bobby", ["bobby"], [{"bob": 1}]]
    rows = [log(at, attributes={"user": user}) for at, user in enumerate([*bobs, *others])]
    writer.append([batch(*rows, offset=0)])
    writer.commit()
    care, asked = Care(values, lambda: NOON_NS + 2 * DAY_NS), request(BOB)
    logs, _ = targets(care, asked)

    assert found(logs, asked) == {DAY: len(bobs)}
    assert remove_found(logs, asked, DAY) == len(bobs)

    assert found(logs, asked) == {}
    assert left(care) == len(others)
