"""Deadlines, failures and company of appends, with the moment of the commit in the test's hand."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from bus.sqlite.bus import SqliteBus
from bus.sqlite.file import connect, prepare
from bus.sqlite.group_commit import Append, GroupCommit, Row
from contracts.errors import BusError, OutcomeUnknown
from contracts.messages import Message
from contracts.settings import load_settings


class HeldConnection(sqlite3.Connection):
    """SQLite, with a gate before the commit: `at_commit` is called there, and may wait or raise."""

    at_commit: Callable[[], None] = staticmethod(lambda: None)
    at_pragma: Callable[[], None] = staticmethod(lambda: None)
    commits = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self.commits += 1
            self.at_commit()
        elif sql.startswith("PRAGMA"):
            self.at_pragma()
        return super().execute(sql, *parameters)


class Gate:
    """Holds a commit until it is released."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        self.released.wait(30)


class Bench:
    """A writer over a real file with one log, and what is stored there."""

    def __init__(self, folder: Path, window_s: float = 0.0) -> None:
        self.path = folder / "bus.db"
        prepare(self.path)
        with contextlib.closing(connect(self.path, writes=True)) as connection:
            connection.execute("INSERT INTO logs(topic, partition) VALUES ('t', 0)")
        self.connection = sqlite3.connect(
            self.path, factory=HeldConnection, isolation_level=None, check_same_thread=False
        )
        self.writer = GroupCommit(self.connection, self.path, window_s, lambda: None, lambda: 1)
        self.pool = ThreadPoolExecutor(8)

    def append(self, *payloads: bytes, timeout_s: float | None = None) -> int:
        append = Append(1, rows(*payloads))
        self.writer.send(append)
        return self.writer.wait_durable(append, timeout_s)

    def append_later(self, *payloads: bytes) -> Future[int]:
        append = Append(1, rows(*payloads))
        self.writer.send(append)
        return self.pool.submit(self.writer.wait_durable, append, 30)

    def stored(self) -> list[bytes]:
        with contextlib.closing(connect(self.path, writes=False)) as connection:
            return [payload for (payload,) in connection.execute("SELECT payload FROM messages ORDER BY position")]


def rows(*payloads: bytes) -> list[Row]:
    return [("{}", payload) for payload in payloads]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.connection.at_commit = lambda: None
    bench.writer.close()
    bench.pool.shutdown()


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def test_a_deadline_that_passes_during_the_commit_is_an_unknown_outcome(bench: Bench) -> None:
    gate = bench.connection.at_commit = Gate()

    with pytest.raises(OutcomeUnknown, match="send again"):
        bench.append(b"1", timeout_s=0.05)

    gate.released.set()
    assert bench.append(b"2") == 1
    assert bench.stored() == [b"1", b"2"]


def test_a_deadline_that_passes_before_the_writer_has_the_lock_withdraws_the_append(bench: Bench) -> None:
    with contextlib.closing(connect(bench.path, writes=True)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusError, match="not ready for the append") as caught:
            bench.append(b"1", timeout_s=0.05)
        other.execute("ROLLBACK")

    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.retry_after_s
    assert bench.append(b"2") == 0
    assert bench.stored() == [b"2"]


def test_an_append_behind_a_slow_commit_is_withdrawn_too(bench: Bench) -> None:
    gate = bench.connection.at_commit = Gate()
    first = bench.append_later(b"1")
    gate.reached.wait(30)

    with pytest.raises(BusError, match="not ready for the append"):
        bench.append(b"2", timeout_s=0.05)

    gate.released.set()
    assert first.result() == 0
    assert bench.stored() == [b"1"]


def test_appends_that_arrive_during_a_commit_share_the_next_one(bench: Bench) -> None:
    gate = bench.connection.at_commit = Gate()
    waiting = [bench.append_later(b"0")]
    gate.reached.wait(30)
    waiting += [bench.append_later(b"%d" % number) for number in range(1, 8)]
    gate.released.set()

    assert [each.result() for each in waiting] == list(range(8))
    assert bench.connection.commits == 2


def test_an_append_waits_for_the_company_of_last_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, window_s=30)
    gate = bench.connection.at_commit = Gate()
    waiting = [bench.append_later(b"0")]
    gate.reached.wait(30)
    waiting += [bench.append_later(b"1"), bench.append_later(b"2")]
    gate.released.set()
    for each in waiting:
        each.result()

    gate = bench.connection.at_commit = Gate()
    third = bench.append_later(b"3")
    assert not gate.reached.wait(0.1), "it waits for one more"
    fourth = bench.append_later(b"4")
    gate.released.set()

    assert [third.result(), fourth.result()] == [3, 4]
    assert bench.connection.commits == 3
    bench.writer.close()
    bench.pool.shutdown()


def test_a_failed_commit_stores_nothing_and_the_next_append_works(bench: Bench) -> None:
    def fail() -> None:
        raise sqlite_error(sqlite3.SQLITE_IOERR_READ)

    bench.connection.at_commit = fail
    with pytest.raises(BusError, match="disk I/O error") as caught:
        bench.append(b"1")
    assert not isinstance(caught.value, OutcomeUnknown)

    bench.connection.at_commit = lambda: None
    assert bench.append(b"2") == 0
    assert bench.stored() == [b"2"]


def test_a_failed_sync_is_an_unknown_outcome(bench: Bench) -> None:
    def fail() -> None:
        raise sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)

    bench.connection.at_commit = fail
    with pytest.raises(OutcomeUnknown, match="sync failed"):
        bench.append(b"1")


def test_an_error_of_any_kind_leaves_nobody_waiting(bench: Bench) -> None:
    def fail() -> None:
        raise MemoryError("no memory")

    bench.connection.at_commit = fail
    with pytest.raises(BusError, match="no memory"):
        bench.append(b"1", timeout_s=30)


def test_a_write_lock_that_another_process_keeps_ends_in_an_error_without_a_deadline(bench: Bench) -> None:
    bench.connection.execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(connect(bench.path, writes=True)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusError, match="locked by another process"):
            bench.append(b"1")


def test_appends_wait_for_a_writer_of_another_process(tmp_path: Path) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", load_settings(_env_file=None))) as bus:
        bus.partitions("t")
        with contextlib.closing(connect(tmp_path / "bus.db", writes=True)) as other, ThreadPoolExecutor(1) as pool:
            other.execute("BEGIN IMMEDIATE")
            waiting = pool.submit(bus.append, "t", "k", [Message(b"1")])
            assert not waiting.done()
            other.execute("ROLLBACK")
            assert list(waiting.result(30)) == [0]


def test_closing_waits_for_the_commit_that_is_under_way(bench: Bench) -> None:
    gate = bench.connection.at_commit = Gate()
    waiting = bench.append_later(b"1")
    gate.reached.wait(30)

    closing = bench.pool.submit(bench.writer.close)

    assert not wait([closing], 0.1).done
    gate.released.set()
    closing.result(30)
    assert waiting.result() == 0
    assert bench.stored() == [b"1"]


def test_a_disk_that_fails_the_look_at_the_limit_too_fails_that_append_alone(bench: Bench) -> None:
    def fail(code: int) -> Callable[[], None]:
        def raising() -> None:
            raise sqlite_error(code)

        return raising

    bench.connection.at_commit = fail(sqlite3.SQLITE_FULL)
    bench.connection.at_pragma = fail(sqlite3.SQLITE_IOERR)
    with pytest.raises(BusError, match="bus"):
        bench.append(b"1", timeout_s=30)
    bench.connection.at_commit = bench.connection.at_pragma = lambda: None
    assert bench.append(b"2", timeout_s=30) == 0
    assert bench.stored() == [b"2"]


def test_a_writer_thread_that_cannot_start_refuses_the_append_and_starts_with_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(BusError, match="cannot be started"):
            bench.append(b"1")
    assert bench.append(b"2", timeout_s=30) == 0
    assert bench.stored() == [b"2"]
