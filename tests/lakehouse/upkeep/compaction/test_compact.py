"""Compaction: a closed day becomes few sorted files; readers see each row once, whoever dies or writes meanwhile."""

from __future__ import annotations

import datetime as dt
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import StoreError
from contracts.failpoints import VARIABLE
from contracts.messages import ERASED, Kind
from lakehouse.delta.files import Files
from lakehouse.delta.removal import remove
from lakehouse.delta.schemas import SORTED_BY
from lakehouse.delta.table import Delta
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.compaction import compact as compaction
from lakehouse.upkeep.compaction import sort as ordering
from lakehouse.upkeep.compaction.compact import compact_closed, compact_open
from lakehouse.upkeep.compaction.sort import Day, Dealt
from tests import children, storage
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS, OTHER, batch, log
from tests.settings import settings

DAY = dt.date(2026, 3, 4)
SERVICES = ("web", "api", "cron", "")
COMMITS, ROWS = 8, 40
ALL = COMMITS * ROWS * 2


@pytest.fixture
def care(tmp_path: Path) -> Iterator[Care]:
    made = Care(settings(data_dir=tmp_path), lambda: NOON_NS + DAY_NS)
    land(made, range(COMMITS))
    yield made
    made.close()


def land(care: Care, offsets: range, rows: int = ROWS, at_ns: int = NOON_NS) -> None:
    """Two tenants' rows, a commit an offset, times and services in no order."""
    writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
    for offset in offsets:
        made = [
            log(n, f"{offset}-{n}", NOON_NS + (n * 7 + offset * 3) % 50 * 10**6, service=SERVICES[(n + offset) % 4])
            for n in range(rows)
        ]
        writer.append([batch(*made, offset=offset, received_ns=at_ns)])
        writer.append([batch(*made, offset=offset, partition=1, tenant=OTHER, received_ns=at_ns)])
        writer.commit()


def rows_of(care: Care, name: str = "logs") -> list[dict[str, Any]]:
    """In the order of the files."""
    paths = sorted(file["path"] for file in care.table(name).files() if file["partition.day"] == DAY)
    contents = [io.BytesIO(storage.read(care.settings, f"{name}/{path}")) for path in paths]
    return [row | {"day": DAY} for content in contents for row in pq.ParquetFile(content).read().to_pylist()]


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*SORTED_BY, *ordering.WITHIN_EQUALS))


def test_a_closed_day_becomes_one_sorted_file_with_every_row_once(care: Care) -> None:
    before = rows_of(care)

    done = compact_closed(care, "logs", DAY)

    after = rows_of(care)
    assert (done.rows, done.files_before, done.files_after, done.repeated) == (ALL, COMMITS, 1, 0)
    assert after == sorted(before, key=order)


def test_files_that_a_removal_rewrote_and_newer_ones_are_sorted_together(care: Care) -> None:
    """The library writes text of another type than we do."""
    compact_closed(care, "logs", DAY)
    remove(care.table("logs"), f"day = DATE '{DAY}' AND tenant = 'acme'", ERASED)
    land(care, range(COMMITS, COMMITS + 2))
    before = rows_of(care)

    done = compact_closed(care, "logs", DAY)

    assert (done.rows, done.files_before, done.files_after) == (ALL // 2 + 4 * ROWS, 3, 1)
    assert rows_of(care) == sorted(before, key=order)


def test_ranges_of_a_large_service_are_sorted_by_themselves_and_stand_in_order(
    care: Care, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "RANGE_ROWS", 30)
    monkeypatch.setattr(ordering, "DEALT_ROWS", 100)
    before = rows_of(care)

    table = care.table("logs")
    assert Day(table.new_files(), [file["path"] for file in table.files()]).deal(tmp_path).count > ALL // 40
    compact_closed(care, "logs", DAY)

    assert rows_of(care) == sorted(before, key=order)


def test_a_second_run_does_nothing_until_rows_came(care: Care) -> None:
    first = compact_closed(care, "logs", DAY)
    again = compact_closed(care, "logs", DAY)
    land(care, range(COMMITS, COMMITS + 1))
    later = compact_closed(care, "logs", DAY)

    assert (first.done, again.done, again.version) == (True, False, first.version)
    assert (later.done, later.rows, later.files_after) == (True, ALL + 2 * ROWS, 1)


def test_the_open_day_and_a_day_ahead_of_a_clock_that_jumped_back_are_refused(tmp_path: Path) -> None:
    care = Care(settings(data_dir=tmp_path), lambda: NOON_NS)
    land(care, range(2))

    for day in (DAY, DAY + dt.timedelta(days=1)):
        with pytest.raises(StoreError, match="not closed"):
            compact_closed(care, "logs", day)


def test_the_open_day_is_merged_and_a_lone_file_left_alone(care: Care) -> None:
    done, again = compact_open(care, "logs", DAY), compact_open(care, "logs", DAY)

    assert (done.files_before, done.files_after, done.rows) == (COMMITS, 1, ALL)
    assert (again.done, again.version) == (False, done.version)


def test_a_table_without_services_and_times_is_compacted_too(care: Care) -> None:
    before = rows_of(care, "ledger")
    # The accounts are of the day on which their messages arrived.
    done = compact_closed(care, "ledger", DAY)

    assert (done.rows, done.files_after) == (len(before), 1)
    assert sorted(map(str, rows_of(care, "ledger"))) == sorted(map(str, before))


def test_a_doubled_row_is_reported_and_kept(care: Care) -> None:
    doubled = pa.Table.from_pylist(rows_of(care)[:3], care.table("logs").schema)
    care.table("logs").append("other", doubled, {0: 1})

    done = compact_closed(care, "logs", DAY)

    assert (done.rows, done.repeated, done.repeated_positions) == (ALL + 3, 3, 3)


def test_an_id_at_two_bus_positions_is_reported(care: Care) -> None:
    again = rows_of(care)[0] | {"bus_offset": 999}
    care.table("logs").append("other", pa.Table.from_pylist([again], care.table("logs").schema), {0: 1})

    done = compact_closed(care, "logs", DAY)

    assert (done.repeated, done.repeated_positions) == (1, 0)


def test_a_row_lost_on_the_way_fails_before_the_commit_and_changes_nothing(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, version = Dealt.sorted, care.table("logs").version

    def one_short(self: Dealt, *ranges: int) -> Iterator[pa.RecordBatch]:
        for number, rows in enumerate(real(self, *ranges)):
            yield rows if number else rows[1:]

    monkeypatch.setattr(Dealt, "sorted", one_short)
    with pytest.raises(StoreError, match="640 rows, but 639 were read"):
        compact_closed(care, "logs", DAY)

    assert (care.table("logs").version, len(rows_of(care))) == (version, ALL)


def test_rows_that_come_to_the_day_meanwhile_make_it_start_again(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Delta.replace
    turns: list[int] = []

    def replace(self: Delta, *args: Any) -> None:
        if not turns:
            land(care, range(COMMITS, COMMITS + 1))
        turns.append(self.version)
        real(self, *args)

    monkeypatch.setattr(Delta, "replace", replace)
    done = compact_closed(care, "logs", DAY)

    assert (len(turns), done.rows, len(rows_of(care))) == (2, ALL + 2 * ROWS, ALL + 2 * ROWS)


def test_rows_that_come_to_another_day_are_not_in_the_way(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Delta.replace
    turns: list[int] = []

    def replace(self: Delta, *args: Any) -> None:
        land(care, range(COMMITS, COMMITS + 1), at_ns=NOON_NS + DAY_NS)
        turns.append(self.version)
        real(self, *args)

    monkeypatch.setattr(Delta, "replace", replace)
    compact_closed(care, "logs", DAY)

    assert (len(turns), len(rows_of(care))) == (1, ALL)


@pytest.mark.parametrize(
    ("point", "work", "files"),
    [
        ("compaction.dealt", "closed", COMMITS),
        ("compaction.written", "closed", COMMITS),
        ("compaction.committed", "closed", 1),
        ("compaction.open", "open", 1),
    ],
)
def test_killed_at_each_step_readers_see_each_row_once_and_the_next_run_completes(
    care: Care, point: str, work: str, files: int
) -> None:
    before = sorted(rows_of(care), key=order)
    words = ("tests.lakehouse.upkeep.compaction_child", care.settings.data_dir, DAY, work)
    killed = children.run(*words, env=os.environ | {VARIABLE: point})

    assert killed.returncode == -9
    assert (sorted(rows_of(care), key=order), len(care.table("logs").files())) == (before, files)
    assert len(laid_down(care)) == (point == "compaction.dealt")

    done = compact_closed(care, "logs", DAY)
    assert (done.rows, done.files_after, rows_of(care), laid_down(care)) == (ALL, 1, before, [])


def laid_down(care: Care) -> list[Path]:
    return [path for path in (care.settings.data / "tmp").glob("*") if path.is_dir()]


def test_a_query_loop_sees_each_row_once_throughout(care: Care) -> None:
    stop, seen = threading.Event(), set()
    sql = "SELECT count(*) AS n, count(DISTINCT concat(tenant, body)) AS bodies FROM logs"

    def ask() -> None:
        while not stop.is_set():
            (row,) = care.lake.snapshot(Kind.LOGS).query(sql).to_pylist()
            seen.add((row["n"], row["bodies"]))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        compact_open(care, "logs", DAY)
        compact_closed(care, "logs", DAY)
    finally:
        stop.set()
        asking.join()

    assert seen == {(ALL, ALL)}


def test_rows_are_laid_down_in_the_data_folder_alone_and_go_again(
    care: Care, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    folders: list[Path] = []
    real = Day.deal

    def deal(self: Day, folder: Path) -> Dealt:
        dealt = real(self, folder)
        folders.extend(path.parent for path in folder.glob("0-*"))
        return dealt

    monkeypatch.setattr(Day, "deal", deal)
    compact_closed(care, "logs", DAY)

    assert {folder.parent for folder in folders} == {care.settings.data / "tmp"}
    assert laid_down(care) == []


def test_a_data_folder_that_cannot_be_written_fails_with_that_reason(care: Care) -> None:
    (care.settings.data / "tmp").write_text("no folder")

    with pytest.raises(StoreError, match="File exists"):
        compact_closed(care, "logs", DAY)
    assert len(rows_of(care)) == ALL


def test_when_one_file_fails_those_that_wait_are_not_begun_and_none_is_left(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "RANGE_ROWS", 20)
    monkeypatch.setattr(compaction, "FILE_BYTES", 2000)
    before, begun, wanted, other = rows_of(care), list[int](), list[int](), threading.Event()
    real, parts = Files.write, compaction._parts

    def counted(*given: int) -> list[tuple[int, int]]:
        found = parts(*given)
        wanted.append(len(found))
        return found

    def write(self: Files, partition: Any, batches: Any, trace_ids: int = 0, number: int = 0) -> Any:
        begun.append(number)
        if number == 0:
            assert other.wait(30)
            raise OSError(28, "No space left on device")
        made = real(self, partition, batches, trace_ids, number)
        other.set()
        time.sleep(0.1)
        return made

    monkeypatch.setattr(Files, "write", write)
    monkeypatch.setattr(compaction, "_parts", counted)
    with pytest.raises(StoreError, match="disk is full"):
        compact_closed(care, "logs", DAY)
    monkeypatch.undo()

    table = care.table("logs")
    assert (table.unused(everything=True), rows_of(care)) == ([], before)
    assert len(begun) < wanted[0] - 2
    assert (compact_closed(care, "logs", DAY).rows, laid_down(care)) == (ALL, [])


def test_a_day_of_more_ranges_than_files_may_be_open_is_sorted(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "RANGE_ROWS", 10)
    monkeypatch.setattr(ordering, "allow_many_files", lambda: 64)
    before = rows_of(care)

    assert compact_closed(care, "logs", DAY).rows == ALL

    assert rows_of(care) == sorted(before, key=order)
