"""The contract of the port `contracts.bus.Bus`. Every adapter passes all of it; see `conftest`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.bus import Bus, Extent
from contracts.errors import BusError
from contracts.messages import Message
from tests.contract.conftest import Adapter, Opener, messages, payloads, read


def test_an_append_returns_offsets_that_begin_at_zero_and_have_no_gaps(bus: Bus) -> None:
    assert list(bus.append("t", "k", messages(b"1", b"2"))) == [0, 1]
    assert list(bus.append("t", "k", messages(b"3"))) == [2]


def test_a_message_comes_back_unchanged(bus: Bus) -> None:
    sent = [
        Message(b"", {}),
        Message(bytes(range(256)), {"a": "", "ключ": "värde \U0001f40a", "quote": '"\\\n\x00'}),
        Message(b"x" * 3_000_000, {"big": "y" * 10_000}),
    ]
    bus.append("t", "k", sent)

    found = read(bus, "t", bus.partition_for("t", "k"))

    assert [(each.payload, dict(each.headers)) for each in found] == [(each.payload, each.headers) for each in sent]
    assert [each.offset for each in found] == [0, 1, 2]
    assert all(each.appended_ns > 0 for each in found)


def test_reading_again_from_an_offset_gives_the_same_messages(bus: Bus) -> None:
    bus.append("t", "k", messages(b"1", b"2", b"3"))
    partition = bus.partition_for("t", "k")
    _, second, third = read(bus, "t", partition)

    assert read(bus, "t", partition, second.offset) == [second, third]


def test_appending_nothing_stores_nothing(bus: Bus) -> None:
    assert list(bus.append("t", "k", [])) == []
    assert set(bus.extents("t").values()) == {Extent(0, 0)}


def test_a_message_lands_in_the_partition_of_its_key_and_in_no_other(bus: Bus) -> None:
    for number in range(20):
        bus.append("t", f"key {number}", messages(b"%d" % number))

    for number in range(20):
        holders = [index for index in bus.partitions("t") if b"%d" % number in payloads(read(bus, "t", index))]
        assert holders == [bus.partition_for("t", f"key {number}")]
    assert all(extent.next_offset > 0 for extent in bus.extents("t").values())


def test_the_partitions_of_a_topic_are_fixed_when_it_is_created(bus: Bus, reopen: Opener) -> None:
    keys = [f"key {number}" for number in range(50)]
    bus.append("old", "k", messages(b"1"))
    before = [bus.partition_for("old", key) for key in keys]

    later = reopen(bus_partitions=5)

    assert list(later.partitions("old")) == [0, 1]
    assert [later.partition_for("old", key) for key in keys] == before
    assert list(later.partitions("new")) == list(bus.partitions("new")) == [0, 1, 2, 3, 4]


def test_a_topic_exists_from_its_first_read(bus: Bus) -> None:
    assert list(bus.partitions("t")) == [0, 1]
    assert dict(bus.extents("t")) == {0: Extent(0, 0), 1: Extent(0, 0)}
    with contextlib.closing(bus.reader("t", 0, 0)) as reader:
        assert list(reader.poll(10)) == []


def test_topics_do_not_see_each_other(bus: Bus) -> None:
    bus.append("one", "k", messages(b"1"))
    bus.append("two", "k", messages(b"2"))

    assert payloads(read(bus, "one", bus.partition_for("one", "k"))) == [b"1"]
    assert payloads(read(bus, "two", bus.partition_for("two", "k"))) == [b"2"]


def test_a_poll_gives_at_most_the_limit_and_goes_on_behind_it(bus: Bus) -> None:
    bus.append("t", "k", messages(b"1", b"2", b"3"))
    with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
        assert [payloads(reader.poll(2)) for _ in range(3)] == [[b"1", b"2"], [b"3"], []]


def test_a_poll_gives_at_most_max_bytes_but_at_least_one_message(bus: Bus) -> None:
    bus.append("t", "k", messages(b"x" * 60, b"y" * 40, b"z" * 500, b"a"))
    with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
        assert [payloads(reader.poll(9, max_bytes=100)) for _ in range(3)] == [
            [b"x" * 60, b"y" * 40],
            [b"z" * 500],
            [b"a"],
        ]


def test_a_reader_sees_what_is_appended_later(bus: Bus) -> None:
    partition = bus.partition_for("t", "k")
    with contextlib.closing(bus.reader("t", partition, 0)) as reader:
        assert list(reader.poll(1)) == []
        bus.append("t", "k", messages(b"1"))
        assert payloads(reader.poll(1)) == [b"1"]


def test_a_reader_beyond_the_end_waits_for_its_offset(bus: Bus) -> None:
    partition = bus.partition_for("t", "k")
    with contextlib.closing(bus.reader("t", partition, 2)) as reader:
        bus.append("t", "k", messages(b"0", b"1"))
        assert list(reader.poll(9)) == []
        bus.append("t", "k", messages(b"2"))
        assert payloads(reader.poll(9)) == [b"2"]


def test_headers_come_without_payloads_and_move_the_same_cursor(bus: Bus) -> None:
    bus.append("t", "k", [Message(b"x" * 50_000, {"n": str(number)}) for number in range(4)])
    with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
        found = reader.headers(3)
        assert [(each.payload, each.headers["n"], each.offset) for each in found] == [
            (b"", "0", 0),
            (b"", "1", 1),
            (b"", "2", 2),
        ]
        assert payloads(reader.poll(9)) == [b"x" * 50_000]
        assert list(reader.headers(9)) == []


def test_an_unknown_partition_or_a_negative_offset_is_refused(bus: Bus) -> None:
    for partition, offset in ((2, 0), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match='topic "t"'):
            bus.reader("t", partition, offset)


def test_another_handle_reads_what_was_acknowledged(bus: Bus, reopen: Opener) -> None:
    bus.append("t", "k", messages(b"1", b"2"))
    other = reopen()
    assert read(other, "t", other.partition_for("t", "k")) == read(bus, "t", bus.partition_for("t", "k"))


def test_threads_append_at_once_and_every_message_is_there_once_in_its_threads_order(bus: Bus, reopen: Opener) -> None:
    writers = [bus, reopen()]

    def write(thread: int) -> dict[int, bytes]:
        acknowledged: dict[int, bytes] = {}
        for number in range(25):
            pair = messages(b"%d/%d/a" % (thread, number), b"%d/%d/b" % (thread, number))
            offsets = writers[thread % 2].append("t", "k", pair)
            acknowledged |= dict(zip(offsets, payloads(pair), strict=True))
        return acknowledged

    with ThreadPoolExecutor(8) as pool:
        acknowledged = {offset: payload for part in pool.map(write, range(8)) for offset, payload in part.items()}

    found = read(bus, "t", bus.partition_for("t", "k"))
    assert [each.offset for each in found] == list(range(400))
    assert {each.offset: each.payload for each in found} == acknowledged
    for thread in range(8):
        mine = [each for each in payloads(found) if each.startswith(b"%d/" % thread)]
        assert mine == [b"%d/%d/%s" % (thread, number, half) for number in range(25) for half in (b"a", b"b")]


def test_a_reader_beside_writers_never_skips(bus: Bus) -> None:
    partition = bus.partition_for("t", "k")
    found: list[bytes] = []

    def write() -> None:
        for number in range(150):
            bus.append("t", "k", messages(b"%d" % number))

    with ThreadPoolExecutor(1) as pool, contextlib.closing(bus.reader("t", partition, 0)) as reader:
        writing = pool.submit(write)
        while not writing.done():
            found += payloads(reader.poll(10))
        found += payloads(reader.poll(1000))
    assert found == [b"%d" % number for number in range(150)]


def test_a_deadline_that_is_kept_changes_nothing(bus: Bus) -> None:
    assert list(bus.append("t", "k", messages(b"1"), timeout_s=30)) == [0]


def test_what_was_appended_outlives_the_handle(bus: Bus, reopen: Opener) -> None:
    bus.append("t", "k", messages(b"1"))
    bus.close()

    later = reopen()

    assert payloads(read(later, "t", later.partition_for("t", "k"))) == [b"1"]
    assert list(later.append("t", "k", messages(b"2"))) == [1]


def test_a_closed_bus_says_so_and_closing_twice_is_harmless(bus: Bus) -> None:
    bus.close()
    bus.close()
    calls: list[Callable[[], object]] = [
        lambda: bus.append("t", "k", messages(b"1")),
        lambda: bus.partitions("t"),
        lambda: bus.partition_for("t", "k"),
        lambda: bus.reader("t", 0, 0),
        lambda: bus.extents("t"),
        lambda: bus.identity("t"),
        lambda: bus.trim("t", {}),
    ]
    for call in calls:
        with pytest.raises(BusError, match="closed"):
            call()


def test_a_closed_reader_says_so(bus: Bus) -> None:
    reader = bus.reader("t", 0, 0)
    reader.close()
    reader.close()
    with pytest.raises(BusError, match="closed"):
        reader.poll(1)


def test_closing_finishes_appends_that_wait(reopen: Opener) -> None:
    bus = reopen(bus_group_commit_ms=1000)
    started = threading.Barrier(5)

    def write(number: int) -> bool:
        started.wait()
        try:
            return bool(bus.append("t", "k", messages(b"%d" % number)))
        except BusError:
            return False

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(write, number) for number in range(4)]
        started.wait()
        bus.close()
        acknowledged = sorted(b"%d" % number for number, each in enumerate(waiting) if each.result())
    later = reopen()
    assert sorted(payloads(read(later, "t", later.partition_for("t", "k")))) == acknowledged


def test_a_topic_keeps_its_identity_whoever_asks_and_whatever_is_appended(bus: Bus, reopen: Opener) -> None:
    before = bus.identity("t")
    bus.append("t", "k", messages(b"1", b"2"))

    assert before
    assert [bus.identity("t"), reopen(bus_partitions=5).identity("t")] == [before, before]


def test_a_topic_that_was_lost_and_made_anew_has_another_identity_also_for_who_knew_the_old_one(
    bus: Bus, adapter: Adapter, reopen: Opener, tmp_path: Path
) -> None:
    bus.append("t", "k", messages(b"1", b"2"))
    before = bus.identity("t")
    adapter.lose(tmp_path, "t")
    with pytest.raises(BusError):
        bus.identity("t")

    anew = reopen()
    anew.append("t", "k", messages(b"3"))

    assert anew.identity("t") == bus.identity("t") != before


def test_the_size_on_disk_is_that_of_what_was_stored(bus: Bus, adapter: Adapter) -> None:
    before = bus.size_bytes()
    bus.append("t", "k", messages(b"x" * 2_000_000))
    assert bus.size_bytes() - before >= (2_000_000 if adapter.trims else 0)
