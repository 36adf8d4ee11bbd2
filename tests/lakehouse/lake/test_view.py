"""A view of lake and archive: each row once, whichever side of a move the view was pinned on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind
from lakehouse.delta.table import Delta
from lakehouse.lake.archive import is_visible, open_archive
from lakehouse.lake.view import View
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.archive.moves import archive_day
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import PinnedRows
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, log
from tests.settings import settings

FIRST = dt.date(2026, 3, 4)


@pytest.fixture
def care(tmp_path: Path) -> Care:
    """Two days of five rows."""
    care = Care(settings(data_dir=tmp_path), lambda: NOON_NS + 3 * DAY_NS)
    writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
    for day in (0, 1):
        at_ns = NOON_NS + day * DAY_NS
        header = BatchHeader(
            tenant=ACME, kind=Kind.LOGS, producer="p", epoch=0, stream="s", sequence=5 * day, received_ns=at_ns
        )
        rows = [log(index, at_ns=at_ns) for index in range(5)]
        writer.append([Batch(header, partition=0, offset=day, rows=rows, received=5)])
        writer.commit()
    return care


def seen(view: View) -> list[int]:
    sql = f"SELECT bus_offset * 5 + bus_index AS n FROM {view.rows_sql('bus_offset, bus_index')} ORDER BY n"
    return [row["n"] for row in PinnedRows(view).rows(sql)]


def never() -> Delta:
    raise AssertionError("the archive was opened")


def test_without_a_finished_move_the_archive_is_not_opened(care: Care) -> None:
    view = View.pin(care.table("logs"), never)

    assert (view.archive, view.moves, view.archived_files()) == (None, 0, [])
    assert seen(view) == list(range(10))


def test_a_view_has_each_row_once_before_and_after_a_move(care: Care) -> None:
    before = View.pin(care.table("logs"), never)
    archive_day(care, Kind.LOGS, FIRST)
    after = View.pin(care.table("logs"), lambda: open_archive(care.settings, Kind.LOGS))

    assert seen(before) == seen(after) == list(range(10))
    assert [part.tier for part in after.parts()] == ["lake", "archive"]
    assert {file["partition.day"] for file in after.archived_files()} == {FIRST}
    assert View.pin(care.table("logs"), never, since_move=1).archive is None


def test_rows_of_a_move_that_is_not_finished_are_seen_by_no_reader(care: Care) -> None:
    lake = care.table("logs")
    archive_day(care, Kind.LOGS, FIRST)
    unfinished = View(lake, open_archive(care.settings, Kind.LOGS), moves=0)

    assert seen(unfinished) == list(range(10))  # those of the lake's version alone, not fifteen
    assert unfinished.archived_files() == []
    assert [is_visible(move, 2) for move in (1, 2, 3)] == [True, True, False]
