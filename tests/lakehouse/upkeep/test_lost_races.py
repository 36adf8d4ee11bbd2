"""Work that others made useless leaves no file behind: it may hold what was erased meanwhile."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.messages import ERASED, Kind
from lakehouse.delta.removal import remove
from lakehouse.delta.table import MERGE_S, Delta
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.archive.moves import archive_day, archive_table
from lakehouse.upkeep.compaction.compact import compact_closed
from tests.lakehouse.lake_samples import orphans
from tests.lakehouse.upkeep.archiving import DAY, DAYS, ROWS, care_of, fill
from tests.settings import settings


def test_a_compaction_that_an_erasure_forestalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Delta.replace

    def late(table: Delta, *given: Any) -> None:
        monkeypatch.setattr(Delta, "replace", real)
        remove(care.table("logs"), f"day = DATE '{DAY}' AND tenant = 'acme'", ERASED)
        real(table, *given)

    with contextlib.closing(care_of(settings(data_dir=tmp_path))) as care:
        fill(care)
        monkeypatch.setattr(Delta, "replace", late)
        assert compact_closed(care, "logs", DAY).rows == ROWS // 2
        assert orphans(care.table("logs")) == set()


def test_a_copy_that_another_move_forestalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Delta.add_files

    def late(table: Delta, *given: Any) -> None:
        monkeypatch.setattr(Delta, "add_files", real)
        archive_day(care, Kind.LOGS, DAYS[1])
        real(table, *given)

    with contextlib.closing(care_of(settings(data_dir=tmp_path))) as care:
        fill(care)
        archive_day(care, Kind.LOGS, DAYS[2])
        monkeypatch.setattr(Delta, "add_files", late)
        with pytest.raises(StoreError, match="another move"):
            archive.archive_day(care, Kind.LOGS, DAY)
        assert orphans(archive_table(care, Kind.LOGS)) == set()


def test_a_copy_that_an_erasure_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Delta.add_files

    def late(table: Delta, *given: Any) -> None:
        monkeypatch.setattr(Delta, "add_files", real)
        remove(care.table("logs"), f"day = DATE '{DAY}' AND tenant = 'acme'", ERASED)
        archive.end_moves(care, Kind.LOGS, archive_table(care, Kind.LOGS))
        real(table, *given)

    with contextlib.closing(care_of(settings(data_dir=tmp_path))) as care:
        fill(care)
        monkeypatch.setattr(Delta, "add_files", late)
        with pytest.raises(StoreError, match="another move"):
            archive_day(care, Kind.LOGS, DAY)
        assert (archive_table(care, Kind.LOGS).files(), orphans(archive_table(care, Kind.LOGS))) == ([], set())
        assert archive_day(care, Kind.LOGS, DAY).rows == ROWS // 2


def test_two_merges_of_the_same_files_at_once_leave_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow merges its small files, and so does the care of the open day, each when its time has come."""
    real = Delta._merge

    def late(table: Delta, day: str) -> None:
        monkeypatch.setattr(Delta, "_merge", real)
        care.table("logs").compact([day])
        real(table, day)

    with contextlib.closing(care_of(settings(data_dir=tmp_path))) as care:
        for first in (0, 100, 200):
            fill(care, first, days=1)
        monkeypatch.setattr(Delta, "_merge", late)
        care.table("logs").compact([str(DAY)])
        files = care.table("logs").files()
        assert (len(files), sum(file["num_records"] for file in files)) == (1, 3 * ROWS)
        fill(care, 300, days=1)
        care.table("logs").compact([str(DAY)])
        assert len(care.table("logs").files()) == 1


def test_a_merge_that_was_killed_is_waited_for_no_longer_than_it_can_last(tmp_path: Path) -> None:
    with contextlib.closing(care_of(settings(data_dir=tmp_path))) as care:
        fill(care, days=1)
        for until_s in (time.time() + MERGE_S, time.time() - 1, time.time() + 9 * MERGE_S):  # a clock was ahead then
            fill(care, int(until_s), days=1)
            care.table("logs").note({"merging": int(until_s)})
            care.table("logs").compact([str(DAY)])
            is_held = time.time() < until_s <= time.time() + MERGE_S
            assert (len(care.table("logs").files()) > 1) == is_held
