"""Range files: every row in the file of its range, in the order it came, with few files open at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.upkeep.compaction.range_files import LEAST, MOST, RangeFiles, file_of, most_open, read

RANGES, TURNS, OPEN = 12, 5, 3


def rows(number: int, turn: int) -> pa.RecordBatch:
    values = pa.array([f"{number}-{turn}", f"{number}"]).dictionary_encode()
    return pa.record_batch([values], names=["value"])


def open_below(folder: Path) -> int:
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += each.readlink().is_relative_to(folder)
    return found


def test_ranges_that_make_room_for_others_go_on_in_the_same_file(tmp_path: Path) -> None:
    with contextlib.closing(RangeFiles(tmp_path, 1, OPEN)) as files:
        for turn in range(TURNS):
            for number in range(RANGES):
                files.write(number, rows(number, turn))
                if Path("/proc/self/fd").exists():
                    assert open_below(tmp_path) <= OPEN

    for number in range(RANGES):
        found = pa.concat_tables(read(file_of(tmp_path, number, 1))).column("value").to_pylist()
        assert found == [value for turn in range(TURNS) for value in (f"{number}-{turn}", f"{number}")]


def test_the_range_that_came_last_stays_open(tmp_path: Path) -> None:
    with contextlib.closing(RangeFiles(tmp_path, 0, 2)) as files:
        for number in (0, 1, 0, 2, 0, 3, 0):
            files.write(number, rows(number, 0))

    assert [len(list(read(file_of(tmp_path, number, 0)))) for number in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(("limit", "most"), [(10, LEAST), (1024, 128), (1 << 20, MOST)])
def test_only_a_share_of_what_a_process_may_open_is_used(limit: int, most: int) -> None:
    assert most_open(limit, 2) == most
