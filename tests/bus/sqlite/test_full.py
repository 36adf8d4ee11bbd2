"""A bus without room: the size limit, a full disk, a file size limit. An error that says so, and nothing corrupted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.sqlite.bus import SqliteBus
from contracts.bus import Extent
from contracts.errors import BusFull
from contracts.messages import Message
from contracts.settings import load_settings

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[3]


def open_at(path: Path, **overrides: Any) -> SqliteBus:
    return SqliteBus(path, load_settings(_env_file=None, bus_partitions=1, bus_retention_h=1e-9, **overrides))


def fill(bus: SqliteBus, size_bytes: int = MIB) -> tuple[int, BusFull]:
    """Append until the bus is full; how many appends were acknowledged."""
    for number in range(1000):
        try:
            bus.append("t", "k", [Message(number.to_bytes(4, "big") * (size_bytes // 4))])
        except BusFull as full:
            return number, full
    raise AssertionError("the bus took a gigabyte")


def check(bus: SqliteBus, path: Path, acknowledged: int) -> None:
    """All acknowledged messages are there, whole, and no others; SQLite finds nothing wrong."""
    with contextlib.closing(bus.reader("t", 0, 0)) as reader:
        for number in range(acknowledged):
            assert reader.poll(1)[0].payload[:4] == number.to_bytes(4, "big")
        assert list(reader.poll(1)) == []
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_bus_at_its_size_limit_refuses_says_why_and_takes_again_after_a_trim(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(open_at(path, bus_max_mib=16)) as bus:
        acknowledged, full = fill(bus)

        assert 12 <= acknowledged < 16
        assert "HEADWATER_BUS_MAX_MIB" in full.hint
        assert full.retry_after_s
        with pytest.raises(BusFull, match="size limit is reached"):
            bus.append("t", "k", [])
        check(bus, path, acknowledged)

        assert bus.trim("t", {0: 5}) == 5
        assert list(bus.append("t", "k", [Message(b"x" * MIB)])) == [acknowledged]


def test_an_append_that_does_not_fit_stores_none_of_its_messages(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(open_at(path, bus_max_mib=16)) as bus:
        with pytest.raises(BusFull):
            bus.append("t", "k", [Message(b"x" * MIB)] * 20)
        check(bus, path, 0)
        assert list(bus.append("t", "k", [Message(b"y")])) == [0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount; the test with a file size limit runs everywhere")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_refuses_keeps_everything_and_can_still_be_trimmed(small_disk: Path) -> None:
    path = small_disk / "bus.db"
    with contextlib.closing(open_at(path)) as bus:
        acknowledged, full = fill(bus)

        assert "disk" in str(full)
        assert "free disk space" in full.hint
        with pytest.raises(BusFull, match="disk"):
            bus.append("t", "k", [])  # says so without trying
        check(bus, path, acknowledged)

        assert bus.trim("t", {0: acknowledged}) == acknowledged
        assert list(bus.append("t", "k", [])) == []
        assert list(bus.append("t", "k", [Message(b"x" * MIB)])) == [acknowledged]


def test_a_disk_that_others_filled_to_the_last_byte_can_still_be_trimmed(small_disk: Path) -> None:
    path = small_disk / "bus.db"
    with contextlib.closing(open_at(path)) as bus:
        acknowledged, _ = fill(bus)
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

        assert bus.trim("t", {0: acknowledged - 1}) == acknowledged - 1

        assert list(bus.append("t", "k", [Message(b"x" * MIB)])) == [acknowledged]
        assert bus.extents("t")[0] == Extent(acknowledged - 1, acknowledged + 1)


def test_an_append_that_meets_the_end_of_the_disk_is_refused_and_works_after_space_is_back(small_disk: Path) -> None:
    path = small_disk / "bus.db"
    filler = small_disk / "filler"
    with contextlib.closing(open_at(path)) as bus:
        bus.append("t", "k", [Message(bytes(4))])
        filler.write_bytes(b"x" * (33 * MIB))

        with pytest.raises(BusFull, match="database or disk is full"):
            bus.append("t", "k", [Message(b"x" * (20 * MIB))])

        check(bus, path, 1)
        filler.unlink()
        assert list(bus.append("t", "k", [Message(b"x" * (8 * MIB))])) == [1]


LIMITED = """
import resource, sys
from pathlib import Path
from contracts.messages import Message
from tests.bus.sqlite.test_full import check, fill, open_at
resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, resource.RLIM_INFINITY))
path = Path(sys.argv[1])
bus = open_at(path)
acknowledged, full = fill(bus, 300_000)
assert acknowledged >= 5, acknowledged
check(bus, path, acknowledged)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert list(bus.append("t", "k", [Message(b"x")])) == [acknowledged]
bus.close()
print(acknowledged, full)
"""


def test_a_file_size_limit_is_met_as_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "bus.db")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "is full" in done.stdout
