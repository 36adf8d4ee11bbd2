"""The writer of the hot store: crashes at every step, damaged and deleted folders, days that come and go."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import random
import shutil
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tantivy

from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, Position, RecordQuery
from lakehouse import open_hot
from lakehouse.hot.tantivy.day import DayWriter, engine_errors, read_checkpoints
from lakehouse.hot.tantivy.folder import KindFolder
from lakehouse.hot.tantivy.schema import pack
from lakehouse.hot.tantivy.writer import TantivyHotWriter
from tests import children
from tests.lakehouse import hot_child
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, batch, log
from tests.settings import settings

TODAY = dt.date(2026, 3, 4)
TOMORROW = dt.date(2026, 3, 5)


def open_at(folder: Path) -> HotStore:
    return open_hot(f"tantivy://{folder}", settings())


def bodies(folder: Path) -> Counter[str]:
    with contextlib.closing(open_at(folder)) as hot:
        query = RecordQuery(Kind.LOGS, All(), None, None, 10_000)
        return Counter(found.fields["body"] for found in hot.search(ACME, query, hot.days(Kind.LOGS)))


def child(folder: Path, seed: int, step: int, *sabotage: str) -> int:
    return children.run("tests.lakehouse.hot_child", folder, seed, step, *sabotage).returncode


def crashes(folder: Path, seed: int, *sabotage: str) -> Counter[str]:
    """Run the load through a few kills at seeded steps, then to its end; the rows that came out."""
    rng = random.Random(seed)
    for _ in range(5):
        assert child(folder, seed, rng.randrange(1, 40), *sabotage) in (-signal.SIGKILL, 0)
    assert child(folder, seed, 0, *sabotage) == 0
    return bodies(folder)


def expected(seed: int) -> Counter[str]:
    return Counter(row.body for one in hot_child.load(seed) for row in one.rows)  # type: ignore[union-attr]  # logs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_are_there_once_whatever_step_the_process_is_killed_at(seed: int, tmp_path: Path) -> None:
    assert crashes(tmp_path, seed) == expected(seed)


@pytest.mark.long
def test_without_the_checkpoint_in_the_commit_a_crash_doubles_rows(tmp_path: Path) -> None:
    assert any(crashes(tmp_path / str(seed), seed, "sabotage") - expected(seed) for seed in (1, 2))


def test_a_lock_of_a_killed_process_does_not_block_the_next(tmp_path: Path) -> None:
    assert child(tmp_path, 1, 9) == -signal.SIGKILL
    with contextlib.closing(open_at(tmp_path).writer(Kind.LOGS)) as writer:
        writer.append([batch(log(), offset=99)])
        writer.commit()


def fill(folder: Path) -> None:
    with contextlib.closing(open_at(folder).writer(Kind.LOGS)) as writer:
        writer.append([batch(log(body="a"), offset=0), batch(log(body="b"), offset=1, received_ns=NOON_NS + DAY_NS)])
        writer.commit()


def test_a_drop_that_was_cut_short_is_still_a_drop_and_the_next_one_finishes_it(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "logs" / "2026-03-04.dropped").touch()

    assert bodies(tmp_path) == {"b": 1}
    with contextlib.closing(open_at(tmp_path)) as hot:
        hot.drop_day(Kind.LOGS, TODAY)
    fill(tmp_path)
    assert not (tmp_path / "logs" / "2026-03-04").exists()


@pytest.mark.parametrize("damage", ["meta.json", "*.store", "*.idx"])
def test_a_damaged_day_is_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    fill(tmp_path)
    (file,) = (tmp_path / "logs" / "2026-03-04").glob(damage)
    file.write_bytes(b"damage")

    with contextlib.closing(open_at(tmp_path)) as hot, pytest.raises(StoreError, match="2026-03-04") as caught:
        hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), hot.days(Kind.LOGS))
    assert "delete the folder" in caught.value.hint


def in_another_format(day: Path) -> None:
    day.mkdir(parents=True)
    old = tantivy.SchemaBuilder()
    old.add_text_field("mark", tokenizer_name="raw", index_option="basic")
    writer = tantivy.Index(old.build(), path=str(day)).writer(15_000_000, 1)
    writer.commit()
    writer.wait_merging_threads()


def test_a_day_of_another_format_is_left_to_the_lake_and_begun_anew_by_rows_that_come(tmp_path: Path) -> None:
    in_another_format(tmp_path / "logs" / "2026-03-04")

    with contextlib.closing(open_at(tmp_path)) as hot:
        assert hot.days(Kind.LOGS) == []
        assert [day.trusted for day in hot.held(Kind.LOGS)] == [False]
        with pytest.raises(StoreError, match='logs/2026-03-04" was written in another format') as caught:
            hot.count(ACME, Kind.LOGS, All(), None, None, [TODAY])
        assert "rebuild-hot --days 2026-03-04" in caught.value.hint
        with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
            writer.append([batch(log(), offset=0)])
            writer.commit()
        assert hot.days(Kind.LOGS) == []
        assert len(hot.tail(ACME, Kind.LOGS, All(), None, None, {}, 9)) == 1


def test_checkpoints_of_an_index_are_the_last_of_each_partition(tmp_path: Path) -> None:
    with contextlib.closing(DayWriter(tmp_path, Kind.LOGS, TODAY, 15)) as writer:
        for partition, offset in [(0, 0), (3, 7), (0, 5), (1023, 2**38 - 2), (3, 8)]:
            writer.add(batch(log(), offset=offset, partition=partition))
            writer.commit()
    index = tantivy.Index.open(str(tmp_path))
    assert read_checkpoints(index) == {0: 6, 3: 9, 1023: 2**38 - 1}


def test_a_damaged_day_stops_its_writer_with_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "logs" / "2026-03-04" / "meta.json").write_text("{")

    with contextlib.closing(open_at(tmp_path).writer(Kind.LOGS)) as writer:
        with pytest.raises(StoreError, match="2026-03-04") as caught:
            writer.append([batch(log(), offset=2)])
        assert "delete the folder" in caught.value.hint


def test_a_day_whose_folder_was_deleted_is_left_to_the_lake_also_when_more_rows_come(tmp_path: Path) -> None:
    fill(tmp_path)
    shutil.rmtree(tmp_path / "logs" / "2026-03-04")

    with contextlib.closing(open_at(tmp_path)) as hot, contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        assert hot.days(Kind.LOGS) == [TOMORROW]
        writer.append([batch(log(body="c"), offset=2)])
        writer.commit()
        assert hot.days(Kind.LOGS) == [TOMORROW]
        assert len(hot.tail(ACME, Kind.LOGS, All(), None, None, {0: 2}, 9)) == 1


def test_a_store_whose_folder_was_deleted_is_filled_again_by_a_replay(tmp_path: Path) -> None:
    fill(tmp_path)
    shutil.rmtree(tmp_path / "logs")
    fill(tmp_path)
    assert bodies(tmp_path) == {"a": 1, "b": 1}


def test_damaged_progress_is_refused_with_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "logs" / "progress.json").write_text("{")
    with pytest.raises(StoreError, match="progress") as caught:
        open_at(tmp_path).writer(Kind.LOGS)
    assert "delete" in caught.value.hint


def test_an_idle_day_is_closed_and_opens_again_when_it_gets_rows(tmp_path: Path) -> None:
    now = [0.0]
    writer = TantivyHotWriter(KindFolder(tmp_path, Kind.LOGS), Kind.LOGS, settings(), lambda: now[0])
    with contextlib.closing(writer):
        for day in range(6):
            writer.append([batch(log(body=str(day)), offset=day, received_ns=NOON_NS + day * DAY_NS)])
        assert len(writer.open_days) <= 4
        writer.commit()
        now[0] = 1000.0
        writer.append([batch(log(body="late"), offset=9)])
        writer.commit()
        assert writer.open_days == [TODAY]
    assert bodies(tmp_path) == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1, "5": 1, "late": 1}


def test_a_new_commit_is_seen_by_a_reader_that_is_open_already(tmp_path: Path) -> None:
    with (
        contextlib.closing(open_at(tmp_path)) as reader,
        contextlib.closing(open_at(tmp_path).writer(Kind.LOGS)) as writer,
    ):
        for offset in range(30):
            writer.append([batch(log(), offset=offset)])
            writer.commit()
            assert reader.count(ACME, Kind.LOGS, All(), None, None, reader.days(Kind.LOGS)) == offset + 1


def test_after_a_failed_commit_a_new_writer_in_the_same_process_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [batch(log(body="a"), offset=0), batch(log(body="b"), offset=1, received_ns=NOON_NS + DAY_NS)]
    with contextlib.closing(open_at(tmp_path)) as hot:
        failing = hot.writer(Kind.LOGS)
        failing.append(batches)
        with monkeypatch.context() as patch:
            patch.setattr("contracts.files.os.fsync", disk_full)
            with pytest.raises(StoreError, match="No space") as caught:
                failing.commit()
        assert "free disk space" in caught.value.hint
        failing.close()
        with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
            assert writer.checkpoints() == {}
            writer.append(batches)
            writer.commit()
            assert writer.checkpoints() == {0: 2}
    assert bodies(tmp_path) == {"a": 1, "b": 1}


def disk_full(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_from_damage(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught, engine_errors(tmp_path):
        raise ValueError("An IO error occurred: 'No space left on device (os error 28)'")
    assert caught.value.hint == "free disk space"


def test_readers_on_threads_see_whole_commits_while_rows_come_and_days_go(tmp_path: Path) -> None:
    def read(hot: HotStore, stop: threading.Event) -> list[int]:
        seen = []
        while not stop.is_set():
            with contextlib.suppress(StoreError):  # a day was dropped between the two calls
                seen.append(
                    hot.count(ACME, Kind.LOGS, All(), None, None, [day for day in hot.days(Kind.LOGS) if day > TODAY])
                )
        return seen

    stop = threading.Event()
    with contextlib.closing(open_at(tmp_path)) as hot, ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read, hot, stop) for _ in range(3)]
        with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
            for offset in range(25):
                arrived = NOON_NS + (offset % 2) * DAY_NS
                writer.append([batch(log(0), log(1), offset=offset, received_ns=arrived)])
                writer.commit()
            hot.drop_day(Kind.LOGS, TODAY)
        stop.set()
        for counts in (reader.result() for reader in readers):
            assert counts == sorted(counts)
            assert all(count % 2 == 0 for count in counts)
        assert hot.days(Kind.LOGS) == [TOMORROW]
        assert hot.count(ACME, Kind.LOGS, All(), None, None, [TOMORROW]) == 24


def test_positions_keep_their_order_packed_and_refuse_what_does_not_fit() -> None:
    places = [
        Position(0, 0, 0),
        Position(0, 0, 65_535),
        Position(0, 1, 0),
        Position(0, 2**38 - 1, 1),
        Position(1023, 0, 0),
    ]
    assert [pack(place) for place in places] == sorted(pack(place) for place in places)
    for place in (Position(1024, 0, 0), Position(0, 2**38, 0), Position(0, 0, 65_536), Position(-1, 0, 0)):
        with pytest.raises(StoreError):
            pack(place)
