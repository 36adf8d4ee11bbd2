"""Trimming by size, reuse and return of space, and appends beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bus.sqlite import retention
from bus.sqlite.bus import SqliteBus
from bus.sqlite.file import connect
from contracts.bus import Extent
from contracts.messages import Message
from contracts.settings import load_settings

MIB = 1 << 20
HOUR_NS = 3_600_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000 * HOUR_NS

    def __call__(self) -> int:
        return self.now_ns


Opener = Callable[..., SqliteBus]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_here(tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    with contextlib.ExitStack() as opened:

        def opener(**overrides: Any) -> SqliteBus:
            settings = load_settings(_env_file=None, **overrides)
            return opened.enter_context(contextlib.closing(SqliteBus(tmp_path / "bus.db", settings, clock)))

        yield opener


def append(bus: SqliteBus, count: int, size_bytes: int = MIB, key: str = "k") -> None:
    bus.append("t", key, [Message(b"x" * size_bytes)] * count)


def test_messages_leave_by_age_oldest_first(open_here: Opener, clock: Clock) -> None:
    bus = open_here(bus_partitions=1, bus_retention_h=2)
    for _ in range(4):
        append(bus, 1, 100)
        clock.now_ns += HOUR_NS

    assert bus.trim("t", {0: 4}) == 2
    assert bus.extents("t") == {0: Extent(2, 4)}


def test_messages_leave_by_size_until_the_bus_is_small_enough(open_here: Opener) -> None:
    bus = open_here(bus_partitions=1, bus_retention_mib=16)
    append(bus, 30)

    assert bus.trim("t", {0: 10}) == 10
    assert 14 <= bus.trim("t", {0: 30}) + 10 <= 16
    assert bus.trim("t", {0: 30}) == 0


def test_size_takes_the_oldest_of_all_partitions_first(open_here: Opener, clock: Clock) -> None:
    bus = open_here(bus_partitions=2, bus_retention_mib=16)
    keys = {bus.partition_for("t", str(number)): str(number) for number in range(20)}
    for partition in (1, 0, 1, 1, 0, 0):
        append(bus, 4, key=keys[partition])
        clock.now_ns += HOUR_NS

    removed = bus.trim("t", {0: 99, 1: 99})

    extents = bus.extents("t")
    assert 8 <= removed <= 10
    assert (extents[0].first_offset, extents[1].first_offset) == (4, removed - 4)


def test_freed_pages_are_used_again_so_the_file_does_not_grow(open_here: Opener) -> None:
    bus = open_here(bus_partitions=1, bus_retention_h=1e-9)
    for turn in range(6):
        append(bus, 8)
        if turn == 1:
            high = (bus.size_bytes(), page_count(bus))
        bus._clock_ns.now_ns += HOUR_NS  # type: ignore[attr-defined]  # the test's clock
        assert bus.trim("t", {0: 10_000}) == 8
    assert page_count(bus) <= high[1] + 16


def page_count(bus: SqliteBus) -> int:
    with contextlib.closing(connect(bus._path, writes=False)) as connection:
        count: int = connection.execute("PRAGMA page_count").fetchone()[0]
        return count


def test_a_file_far_larger_than_needed_is_shortened(
    open_here: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SPARE_BYTES", 4 * MIB)
    bus = open_here(bus_partitions=1, bus_retention_h=1)
    append(bus, 40)
    clock.now_ns += 2 * HOUR_NS
    append(bus, 2)

    assert bus.trim("t", {0: 99}) == 40

    bus.close()
    assert (Path(bus._path)).stat().st_size < 16 * MIB
    later = open_here(bus_partitions=1)
    with contextlib.closing(later.reader("t", 0, 40)) as reader:
        assert [message.payload for message in reader.poll(9)] == [b"x" * MIB] * 2


def test_space_is_given_back_in_steps_of_many_pages(
    open_here: Opener, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SPARE_BYTES", 4 * MIB)
    bus = open_here(bus_partitions=1)
    append(bus, 20)
    limits = retention.Limits(oldest_ns=clock.now_ns + 1, size_bytes=1 << 40)
    statements: list[str] = []

    with contextlib.closing(connect(bus._path, writes=True)) as connection:
        connection.set_trace_callback(statements.append)
        assert retention.trim(connection, bus._path, {1: 20}, limits) == 20
        connection.set_trace_callback(None)

    steps = sum("incremental_vacuum" in statement for statement in statements)
    assert 4 <= steps <= 12, "about 8 steps of 2 MiB"


def test_one_transaction_removes_little_so_that_appends_need_not_wait(
    open_here: Opener, clock: Clock, tmp_path: Path
) -> None:
    bus = open_here(bus_partitions=1, bus_retention_h=1)
    append(bus, 600, 1000)
    append(bus, 20)
    clock.now_ns += 2 * HOUR_NS
    limits = retention.Limits(oldest_ns=clock.now_ns - HOUR_NS, size_bytes=1 << 40)

    with contextlib.closing(connect(tmp_path / "bus.db", writes=True)) as connection:
        steps = []
        while removed := retention._remove_chunk(connection, {1: 620}, limits):
            steps.append(removed)

    assert steps == [256, 256, 96, 8, 4]


def test_a_trim_beside_appends_and_reads_loses_nothing(open_here: Opener, clock: Clock) -> None:
    bus = open_here(bus_partitions=1, bus_retention_h=1)
    append(bus, 600, 1000)
    clock.now_ns += 2 * HOUR_NS

    def write() -> None:
        for number in range(100):
            bus.append("t", "k", [Message(b"new %d" % number)])

    with ThreadPoolExecutor(1) as pool, contextlib.closing(bus.reader("t", 0, 600)) as reader:
        writing = pool.submit(write)
        removed = 0
        found: list[bytes] = []
        while not writing.done():
            removed += bus.trim("t", {0: 600})
            found += [message.payload for message in reader.poll(50)]
        found += [message.payload for message in reader.poll(200)]
    assert removed == 600
    assert found == [b"new %d" % number for number in range(100)]
