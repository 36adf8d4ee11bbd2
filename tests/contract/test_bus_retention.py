"""The contract of the port `contracts.bus.Bus`: what retention takes, where it is ours to apply."""

from __future__ import annotations

import contextlib

import pytest

from contracts.bus import Bus, Extent
from contracts.errors import OffsetExpired
from tests.contract.conftest import Opener, messages, payloads, read


def test_trimming_removes_what_is_old_and_consumed_and_nothing_else(trimming: Bus) -> None:
    trimming.append("t", "k", messages(b"0", b"1", b"2", b"3"))
    partition = trimming.partition_for("t", "k")

    assert trimming.trim("t", {partition: 3}) == 3
    assert trimming.trim("t", {partition: 3}) == 0
    assert trimming.trim("t", {partition: 1}) == 0

    assert trimming.extents("t")[partition] == Extent(3, 4)
    assert payloads(read(trimming, "t", partition, 3)) == [b"3"]


def test_trimming_keeps_a_partition_that_nobody_consumed(trimming: Bus) -> None:
    trimming.append("t", "k", messages(b"0"))
    partition = trimming.partition_for("t", "k")

    assert trimming.trim("t", {}) == 0
    assert trimming.trim("t", {1 - partition: 5}) == 0
    assert payloads(read(trimming, "t", partition)) == [b"0"]


def test_trimming_keeps_what_is_young(bus: Bus) -> None:
    bus.append("t", "k", messages(b"0"))
    assert bus.trim("t", {0: 9, 1: 9}) == 0


def test_trimming_one_topic_leaves_the_others(trimming: Bus) -> None:
    trimming.append("one", "k", messages(b"1"))
    trimming.append("two", "k", messages(b"2"))

    trimming.trim("one", {0: 9, 1: 9})

    assert payloads(read(trimming, "two", trimming.partition_for("two", "k"))) == [b"2"]


def test_offsets_go_on_after_everything_was_trimmed(trimming: Bus, reopen: Opener) -> None:
    trimming.append("t", "k", messages(b"0", b"1"))
    partition = trimming.partition_for("t", "k")

    assert trimming.trim("t", {partition: 99}) == 2
    trimming.close()

    later = reopen()
    assert later.extents("t")[partition] == Extent(2, 2)
    assert list(later.append("t", "k", messages(b"2"))) == [2]


def test_opening_at_a_removed_offset_says_what_remains(trimming: Bus) -> None:
    trimming.append("t", "k", messages(b"0", b"1", b"2"))
    partition = trimming.partition_for("t", "k")
    trimming.trim("t", {partition: 2})

    with pytest.raises(OffsetExpired) as caught:
        trimming.reader("t", partition, 1)

    assert caught.value.first_offset == 2


@pytest.mark.parametrize("kept", [0, 1])
def test_a_cursor_overtaken_by_retention_says_so_and_stays_where_it_was(trimming: Bus, kept: int) -> None:
    trimming.append("t", "k", messages(b"0", b"1", b"2"))
    partition = trimming.partition_for("t", "k")
    with contextlib.closing(trimming.reader("t", partition, 0)) as reader:
        reader.poll(1)
        trimming.trim("t", {partition: 3 - kept})
        for look in (reader.poll, reader.headers, reader.poll):
            with pytest.raises(OffsetExpired) as caught:
                look(10)
            assert caught.value.first_offset == 3 - kept
