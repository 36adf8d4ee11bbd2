"""A disk that is full while a day is rewritten or moved: said so, nothing half-visible; the next run completes it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.delta.removal import counts
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.archive.moves import archive_day, archived_days
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.compaction.compact import compact_closed
from lakehouse.upkeep.pinned import PinnedRows
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, batch, log
from tests.settings import settings

DAY = dt.datetime.fromtimestamp(NOON_NS / 1e9, dt.UTC).date()
ROWS, COMMITS = 4000, 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path, left_bytes: int) -> Iterator[None]:
    ballast = folder / "ballast"
    disk = os.statvfs(folder)
    ballast.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - left_bytes))
    try:
        yield
    finally:
        ballast.unlink()


def care_of(folder: Path, **places: str) -> Care:
    """A day of rows that hardly compress, and a clock that stands on the next."""
    care = Care(settings(data_dir=folder, **places), lambda: NOON_NS + DAY_NS)
    rng = random.Random(1)
    writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
    for offset in range(COMMITS):
        rows = [log(at, f"{rng.getrandbits(900):x}", NOON_NS + at * 1000) for at in range(ROWS)]
        writer.append([batch(*rows, offset=offset)])
        writer.commit()
    writer.close()
    return care


def bodies(care: Care) -> int:
    return int(PinnedRows(care.table("logs")).rows("SELECT count(DISTINCT body) AS n FROM logs")[0]["n"])


def test_a_compaction_on_a_full_disk_changes_nothing_and_says_why(tmp_path: Path, small_disk: Path) -> None:
    care = care_of(tmp_path, lake_url=str(small_disk / "lake"))
    with full(small_disk, 400_000):
        with pytest.raises(StoreError, match="disk is full"):
            compact_closed(care, "logs", DAY)
        assert counts(care.table("logs"), "TRUE") == {ACME: ROWS * COMMITS}

    assert compact_closed(care, "logs", DAY).files_after == 1
    assert (counts(care.table("logs"), "TRUE"), bodies(care)) == ({ACME: ROWS * COMMITS}, ROWS * COMMITS)


def test_an_archive_on_a_full_disk_leaves_the_day_in_the_lake_and_says_why(tmp_path: Path, small_disk: Path) -> None:
    care = care_of(tmp_path, archive_url=str(small_disk / "archive"))
    with full(small_disk, 400_000):
        with pytest.raises(StoreError, match="disk is full"):
            archive_day(care, Kind.LOGS, DAY)
        assert (bodies(care), archived_days(care, Kind.LOGS)) == (ROWS * COMMITS, ())

    assert archive_day(care, Kind.LOGS, DAY).rows == ROWS * COMMITS
    assert (bodies(care), archived_days(care, Kind.LOGS)) == (0, (DAY,))
