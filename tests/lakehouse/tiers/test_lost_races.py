"""Work that others made useless leaves no file behind: it may hold what was erased meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.delta import Delta
from lakehouse.tiers import archive
from lakehouse.tiers.archive import archive_day, archive_table
from lakehouse.tiers.compaction import compact_closed
from lakehouse.tiers.removal import ERASED, remove
from tests.lakehouse.lake_samples import settings
from tests.lakehouse.tiers.archiving import DAY, DAYS, ROWS, care_of, fill


def orphans(table: Delta) -> set[str]:
    """Files that never were part of a version."""
    table.refresh()
    return set(table.unused(everything=True)) - set(table.unused(everything=False))


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
