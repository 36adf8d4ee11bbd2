"""The lake as others find it: plain Parquet files listed by the Delta log, small in number, cheap to open."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.records import Row
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.delta.table import CHECKPOINT_COMMITS, Delta, translated
from lakehouse.delta.tables import Tables
from lakehouse.lake import writer as lake_writer
from lakehouse.lake.store import Lake
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, event, log, metric
from tests.settings import settings

ROLLUP = next(iter(ROLLUPS))


def test_duckdb_counts_the_same_rows_with_everything_of_ours_closed(tmp_path: Path) -> None:
    url = str(tmp_path / "lake")
    lake = Lake(url, settings())
    rows: dict[Kind, list[Row]] = {
        Kind.LOGS: [log(n) for n in range(50)],
        Kind.METRICS: [metric(n, n) for n in range(7)],
    }
    rows[Kind.EVENTS] = [event(0)]
    for kind, lines in rows.items():
        writer = lake.writer(kind)
        for offset in range(6):
            tenant = OTHER if offset == 5 else ACME
            received_ns = NOON_NS + offset // 3 * DAY_NS
            writer.append([batch(*lines, offset=offset, kind=kind, tenant=tenant, received_ns=received_ns)])
            writer.commit()
    ours = {total.kind: total.stored for total in lake.ledger(ACME)}
    lake.close()

    for kind, lines in rows.items():
        files = DeltaTable(f"{url}/{kind.value}").file_uris()
        sql = "SELECT count(*), count(DISTINCT (bus_offset, bus_index)) FROM read_parquet(?) WHERE tenant = 'acme'"
        theirs = duckdb.execute(sql, [files]).fetchone()
        assert theirs == (5 * len(lines), 5 * len(lines)) == (ours[kind], ours[kind])


def test_many_commits_leave_few_files_and_a_short_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_writer, "COMPACT_COMMITS", 25)
    monkeypatch.setattr(lake_writer, "VACUUM_COMPACTIONS", 1)
    url = str(tmp_path / "lake")
    lake = Lake(url, settings())
    writer = lake.writer(Kind.LOGS)
    for offset in range(60):
        writer.append([batch(log(), offset=offset)])
        writer.commit()

    sizes = {size.kind: size for size in lake.tables()}
    assert sizes["logs"].rows == sizes["ledger"].rows == 60
    assert max(sizes["logs"].files, sizes["ledger"].files) < 25
    assert list((tmp_path / "lake" / "logs" / "_delta_log").glob("*.checkpoint.parquet"))
    assert Lake(url, settings()).checkpoints(Kind.LOGS) == {0: 60}
    lake.close()


def test_log_entries_past_their_time_and_behind_a_checkpoint_are_deleted_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_writer, "CLEAN_LOG_COMMITS", 45)
    lake = Lake(str(tmp_path / "lake"), settings())
    writer, log_folder = lake.writer(Kind.LOGS), tmp_path / "lake" / "logs" / "_delta_log"
    for offset in range(50):
        if offset == 43:
            two_hours_ago_s = time.time() - 7200
            for path in log_folder.glob("*.json"):
                os.utime(path, (two_hours_ago_s, two_hours_ago_s))
        writer.append([batch(log(), offset=offset)])
        writer.commit()

    assert len(list(log_folder.glob("*.json"))) < 35
    assert {size.kind: size.rows for size in lake.tables()}["logs"] == 50
    assert Lake(str(tmp_path / "lake"), settings()).landed(Kind.LOGS) == {0: 50}
    lake.close()


def test_a_query_past_its_deadline_is_a_store_error(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), settings(query_timeout_s=0.3, query_concurrency=1))
    series = "(SELECT unnest(generate_series(1, 20000)) AS x)"
    started = time.monotonic()

    with pytest.raises(StoreError, match="took longer"):
        lake.snapshot(Kind.LOGS).query(f"SELECT sum(a.x * b.x) FROM {series} a, {series} b WHERE a.x + b.x > 5")
    assert time.monotonic() - started < 60
    lake.close()


def test_a_query_whose_thread_cannot_start_gives_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "lake"), settings(query_timeout_s=5.0, query_concurrency=1))
    snapshot = lake.snapshot(Kind.LOGS)

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be started") as caught:
                snapshot.query("SELECT 1 AS one")
            assert caught.value.retry_after_s
    assert snapshot.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    lake.close()


def test_a_table_that_waits_for_the_store_holds_up_no_other_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, answers = threading.Event(), threading.Event()
    refresh = Delta.refresh

    def slow(table: Delta) -> None:
        if table.name == "logs" and threading.current_thread() is not threading.main_thread():
            waiting.set()
            assert answers.wait(30)
        refresh(table)

    lake = Lake(str(tmp_path / "lake"), settings())
    monkeypatch.setattr(Delta, "refresh", slow)
    with ThreadPoolExecutor(2) as pool:
        logs = pool.submit(lake.landed, Kind.LOGS)
        assert waiting.wait(30)
        others = pool.submit(lake.landed, Kind.METRICS)
        try:
            assert others.result(20) == {}
            assert not logs.done()
        finally:
            answers.set()
        assert logs.result(20) == {}
    lake.close()


def test_a_store_that_failed_is_left_alone_by_the_other_tables_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    tables = Tables(str(tmp_path / "lake"), settings(), rest_s=60.0)

    def away(table: Delta) -> None:
        asked.append(table.name)
        raise StoreError("the store is away", retry_after_s=5)

    monkeypatch.setattr(Delta, "refresh", away)
    for name in ("logs", "logs", "metrics"):
        with pytest.raises(StoreError, match="the store is away") as caught, tables.newest(name):
            pass
        assert caught.value.retry_after_s == 5
    assert asked == ["logs"]


def test_a_value_that_our_own_code_refuses_is_no_failure_of_the_store(tmp_path: Path) -> None:
    def ours() -> None:
        int("no number")

    with pytest.raises(ValueError, match="invalid literal") as caught, translated("the table cannot be read"):
        ours()
    assert not isinstance(caught.value, StoreError)
    with pytest.raises(UnicodeEncodeError), translated("the table cannot be read"):
        QueryBuilder().execute("SELECT '\ud800'")


def test_a_value_that_the_library_refuses_is_a_failure_of_the_store(tmp_path: Path) -> None:
    table = Delta(str(tmp_path / "lake"), "logs")
    with pytest.raises(StoreError, match="the table cannot be read"), translated("the table cannot be read"):
        table._table.optimize.compact(partition_filters=[("absent", "=", "x")])
    with pytest.raises(StoreError, match="the table cannot be read"), translated("the table cannot be read"):
        pa.array([1, 2]).cast(pa.list_(pa.int8()))
    with pytest.raises(StoreError, match="the table cannot be read"), translated("the table cannot be read"):
        pa.array(["x"]).cast(pa.int64())


def test_a_query_over_its_memory_is_a_store_error(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), settings(query_memory_mib=16))
    numbers = "(SELECT unnest(generate_series(1, 3000000)) AS x)"

    with pytest.raises(StoreError, match="cannot be queried"):
        lake.snapshot(Kind.LOGS).query(f"SELECT array_agg(x) FROM {numbers}")
    lake.close()


def test_vacuum_shortens_the_log_of_tables_that_no_flow_writes_and_what_was_noted_stays(tmp_path: Path) -> None:
    """Rollups commit every five minutes for years; what is noted in them holds as long."""
    url = str(tmp_path / "lake")
    table = Delta(url, ROLLUP)
    for number in range(3 * CHECKPOINT_COMMITS):
        table.note({f"n{number}": number})
    for path in (tmp_path / "lake" / ROLLUP / "_delta_log").iterdir():
        os.utime(path, (time.time() - 7200, time.time() - 7200))

    with contextlib.closing(Lake(url, settings(data_dir=tmp_path))) as lake:
        lake.vacuum()

    assert len(list((tmp_path / "lake" / ROLLUP / "_delta_log").glob("*.json"))) <= CHECKPOINT_COMMITS
    again = Delta(url, ROLLUP)
    assert [again.noted(f"n{number}") for number in range(3 * CHECKPOINT_COMMITS)] == list(
        range(3 * CHECKPOINT_COMMITS)
    )
    table.refresh()
    assert table.version == again.version
