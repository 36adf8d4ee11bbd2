"""The lake writer: each row once, through replays, races and retries, and an account of every record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from contracts.batches import Batch, Reject
from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.delta.table import Delta
from lakehouse.lake import writer as lake_writer
from lakehouse.lake.store import Lake
from lakehouse.lake.writer import LakeWriter
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log, tick
from tests.settings import settings


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(str(tmp_path / "lake"), settings())
    yield opened
    opened.close()


def bodies(lake: Lake) -> list[str]:
    rows = lake.snapshot(Kind.LOGS).query("SELECT body FROM logs ORDER BY body")
    return [row["body"] for row in rows.to_pylist()]


def batches(count: int, partition: int = 0) -> list[Batch]:
    return [batch(log(0, f"{partition}-{offset:03}"), offset=offset, partition=partition) for offset in range(count)]


def write(lake: Lake, items: Sequence[Batch]) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(items)
    writer.commit()


def test_committed_rows_are_read_back_and_the_checkpoint_is_past_them(lake: Lake) -> None:
    write(lake, batches(3))

    assert bodies(lake) == ["0-000", "0-001", "0-002"]
    assert lake.checkpoints(Kind.LOGS) == {0: 3}
    assert lake.writer(Kind.LOGS).checkpoints() == {0: 3}


def test_nothing_is_visible_before_the_commit(lake: Lake) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(batches(3))

    assert writer.pending_rows == 3
    assert bodies(lake) == []
    assert writer.checkpoints() == lake.checkpoints(Kind.LOGS) == {}


def test_a_replay_from_the_start_adds_no_row_and_no_account(lake: Lake) -> None:
    for _ in range(3):
        write(lake, batches(4) + batches(2, partition=3))

    assert len(bodies(lake)) == 6
    assert lake.checkpoints(Kind.LOGS) == {0: 4, 3: 2}
    assert [total.landed for total in lake.ledger(ACME)] == [6]


def test_a_replay_that_ends_later_adds_the_new_rows_alone(lake: Lake) -> None:
    write(lake, batches(2))
    write(lake, batches(5))

    assert bodies(lake) == [f"0-00{n}" for n in range(5)]


def test_a_tick_makes_no_commit(lake: Lake) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append([tick(5)])
    writer.commit()

    assert lake.checkpoints(Kind.LOGS) == {}


def test_a_batch_without_rows_moves_the_checkpoint(lake: Lake) -> None:
    write(lake, [batch(offset=0, duplicates=4)])

    assert lake.checkpoints(Kind.LOGS) == {0: 1}
    assert lake.ledger(ACME)[0].duplicates == 4


def test_the_ledger_adds_up_per_tenant_and_counts_what_is_stored(lake: Lake) -> None:
    rejects = [Reject(1, b"x", "invalid_json", "no", "decode")]
    write(lake, [batch(log(), offset=0, rejects=rejects), batch(log(), log(1), offset=1, dropped={"rule": 2})])
    write(lake, [batch(log(), offset=2, dropped={"rule": 1, "other": 5}), batch(log(), offset=3, tenant=OTHER)])

    (mine,) = lake.ledger(ACME)
    assert (mine.received, mine.landed, mine.stored, mine.dead_lettered) == (13, 4, 4, 1)
    assert mine.dropped == {"rule": 3, "other": 5}
    assert {total.tenant: total.stored for total in lake.ledger(None)} == {"acme": 4, "other": 1}


def test_equal_drops_in_several_commits_are_each_counted(lake: Lake) -> None:
    write(lake, [batch(log(), offset=0, dropped={"rule": 2})])
    write(lake, [batch(log(), offset=1, dropped={"rule": 2})])

    assert lake.ledger(ACME)[0].dropped == {"rule": 4}


def test_lost_offsets_are_noted_once_and_passed(lake: Lake) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(batches(2))
    writer.note_lost(0, 2, 10)
    writer.note_lost(0, 2, 10)
    writer.append([batch(log(), offset=10)])
    writer.commit()

    assert lake.checkpoints(Kind.LOGS) == {0: 11}
    assert {total.tenant: total.lost for total in lake.ledger(None)} == {"": 8, "acme": 0}


def test_several_arrival_days_land_in_one_commit(lake: Lake) -> None:
    write(lake, [batch(log(), offset=day, received_ns=NOON_NS + day * DAY_NS) for day in range(3)])

    sizes = {size.kind: size for size in lake.tables()}
    assert (sizes["logs"].rows, sizes["logs"].days, sizes["logs"].files) == (3, 3, 3)
    assert sizes["logs"].bytes > 0


def test_a_failed_commit_keeps_the_buffer_and_can_be_repeated(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(batches(3))

    def broken(*_: object) -> None:
        raise StoreError("disk full")

    for step in ("rows", "ledger"):
        with monkeypatch.context() as patch:
            table = writer._rows if step == "rows" else writer._ledger
            patch.setattr(table, "append", broken)
            with pytest.raises(StoreError, match="disk full"):
                writer.commit()
        assert writer.checkpoints() == {}
    writer.commit()

    assert len(bodies(lake)) == 3
    assert writer.checkpoints() == {0: 3}


def test_an_append_that_took_effect_although_it_failed_is_not_written_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(batches(3))
    real = writer._rows.append

    def landed_then_failed(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]  # passed through as they came
        raise StoreError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(writer._rows, "append", landed_then_failed)
        with pytest.raises(StoreError, match="reset"):
            writer.commit()
    writer.commit()

    assert len(bodies(lake)) == 3


def test_two_writers_of_the_same_offsets_leave_each_row_once(lake: Lake) -> None:
    first, second = lake.writer(Kind.LOGS), lake.writer(Kind.LOGS)
    first.append(batches(3))
    second.append(batches(5))
    first.commit()
    second.commit()

    assert bodies(lake) == [f"0-00{n}" for n in range(5)]
    assert lake.ledger(ACME)[0].landed == 5


def test_a_writer_that_loses_the_race_after_its_check_writes_only_what_is_missing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = lake.writer(Kind.LOGS), lake.writer(Kind.LOGS)
    slow.append(batches(5))
    fast.append(batches(3))
    check = lake_writer.already_landed

    def overtaken(table: Delta, kind: Kind) -> dict[int, int]:
        landed = dict(check(table, kind))
        monkeypatch.setattr(lake_writer, "already_landed", check)
        fast.commit()
        return landed

    monkeypatch.setattr(lake_writer, "already_landed", overtaken)
    slow.commit()

    assert bodies(lake) == [f"0-00{n}" for n in range(5)]
    assert lake.ledger(ACME)[0].landed == 5


def test_the_buffer_is_bounded(tmp_path: Path) -> None:
    writer = LakeWriter(str(tmp_path / "lake"), Kind.LOGS, settings(lake_commit_rows=10))
    writer.append(batches(25))

    assert writer.pending_rows == 5
    assert writer.checkpoints() == {0: 20}


def test_small_commits_are_compacted_and_no_row_is_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_writer, "COMPACT_COMMITS", 5)
    writer = lake.writer(Kind.LOGS)
    for item in batches(23):
        writer.append([item])
        writer.commit()

    assert len(bodies(lake)) == 23
    assert all(size.files <= 7 for size in lake.tables())


def test_upkeep_that_fails_is_put_off_and_stops_no_commit(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_writer, "COMPACT_COMMITS", 2)

    def broken(*_: object) -> None:
        raise StoreError("no space for a rewrite")

    monkeypatch.setattr(Delta, "compact", broken)
    writer = lake.writer(Kind.LOGS)
    for item in batches(5):
        writer.append([item])
        writer.commit()

    assert len(bodies(lake)) == 5


def test_a_batch_that_is_appended_twice_is_buffered_once(lake: Lake) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append(batches(3))
    writer.append(batches(4))
    writer.commit()

    assert len(bodies(lake)) == lake.ledger(ACME)[0].landed == 4


def test_rows_without_an_account_yet_are_not_counted_as_stored(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append([batch(log(0), log(1), offset=0), batch(log(0), offset=0, partition=1)])
    writer.commit()
    writer.append(
        [batch(log(0), offset=1), batch(log(0), offset=1, tenant=OTHER), batch(log(0), offset=0, partition=2)]
    )

    def killed(*_: object) -> None:
        raise StoreError("killed between the two commits")

    with monkeypatch.context() as patch:
        patch.setattr(writer._ledger, "append", killed)
        with pytest.raises(StoreError):
            writer.commit()

    assert [(total.tenant, total.landed, total.stored) for total in lake.ledger(None)] == [("acme", 3, 3)]
    assert [total.stored for total in lake.ledger(ACME)] == [3]
    writer.commit()
    assert [total.stored for total in lake.ledger(ACME)] == [5]
