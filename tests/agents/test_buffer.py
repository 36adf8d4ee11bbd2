"""Buffer: what was appended comes out once, in order, under the same numbers, through kills, full disks and damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import buffer as buffer_module
from agents.buffer import Buffer, BufferFull
from agents.frames import MAGIC
from agents.home import Home
from agents.journal import Journal
from agents.lines import Part
from agents.outbox import Batch
from agents.positions import Mark, Position
from contracts.errors import ConfigError


class Opened:
    """Buffers opened on one folder, one after the other, as a process would; `kill` leaves everything as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home: Home | None = None

    def open(self, max_bytes: int = 1 << 20, segment_bytes: int = 1 << 20) -> Buffer:
        self.kill()
        self.home = Home(self.folder)
        return Buffer(self.home, max_bytes, segment_bytes, Journal("test", "error"))

    def kill(self) -> None:
        if self.home:
            self.home.close()
            self.home = None

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.segment"))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    each = Opened(tmp_path / "home")
    yield each
    each.kill()


def part(*lines: str) -> Part:
    return Part(len(lines), "".join(f"{line}\n" for line in lines).encode())


def at(offset: int) -> dict[str, Position | None]:
    return {"1:2": Position("/a.log", 1, 2, mark=Mark(offset))}


def drain(buffer: Buffer, records: int = 1000, size: int = 1 << 20) -> list[Batch]:
    batches: list[Batch] = []
    while batch := buffer.take(records, size):
        batches.append(batch)
        buffer.acknowledge(batch.end)
    return batches


def numbered(batches: list[Batch]) -> list[tuple[int, int, bytes]]:
    return [
        (batch.epoch, batch.sequence + i, line)
        for batch in batches
        for i, line in enumerate(batch.payload.splitlines())
    ]


def test_sequence_numbers_are_contiguous_from_zero_and_batches_keep_to_the_limits(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a", "b"), part("c")], {})
    buffer.append([part("d", "e", "f", "g")], {})
    batches = drain(buffer, records=3)
    assert [batch.count for batch in batches] == [3, 3, 1]
    assert numbered(batches) == [(0, i, line.encode()) for i, line in enumerate("abcdefg")]


def test_a_batch_keeps_to_the_byte_limit_but_holds_at_least_one_record(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("x" * 50, "y" * 10, "z" * 10)], {})
    assert [len(batch.payload) for batch in drain(buffer, size=25)] == [51, 22]


def test_unacknowledged_records_come_again_under_the_same_numbers_after_a_kill(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a", "b", "c")], at(6))
    buffer.append([part("d")], at(8))
    first = buffer.take(2, 1000)
    assert first
    buffer.acknowledge(first.end)

    again = opened.open()

    assert again.unsent == 2
    assert numbered(drain(again)) == [(0, 2, b"c"), (0, 3, b"d")]
    assert again.producer == buffer.producer
    assert again.positions["1:2"].offset == 8


def test_positions_survive_the_deletion_of_all_segments(opened: Opened) -> None:
    buffer = opened.open(segment_bytes=1)
    for number in range(5):
        buffer.append([part(f"{number}")], at(number))
        drain(buffer)
    buffer.close()
    assert opened.segments() == []

    again = opened.open()

    assert again.positions["1:2"].offset == 4
    again.append([part("next")], {})
    assert numbered(drain(again)) == [(0, 5, b"next")]


def test_a_forgotten_file_stays_forgotten_after_a_kill(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a")], at(2))
    buffer.append([], {"1:2": None})
    assert opened.open().positions == {}


def test_segments_without_records_do_not_overwrite_each_other(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a")], {})
    for turn in range(3):
        buffer._seal()
        buffer.append([], at(turn))
    assert len(opened.segments()) == 4
    assert opened.open().positions["1:2"].offset == 2


def test_a_torn_last_frame_is_cut_off_with_its_positions_and_its_numbers_are_used_again(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a")], at(2))
    whole = opened.segments()[0].stat().st_size
    buffer.append([part("b")], at(4))
    data = opened.segments()[0].read_bytes()
    for length in (len(data) - 1, whole + 20, whole + 5):
        opened.segments()[0].write_bytes(data[:length])
        again = opened.open()
        assert again.positions["1:2"].offset == 2
        assert again.next == (0, 1)
    again.append([part("c")], at(4))
    assert numbered(drain(again)) == [(0, 0, b"a"), (0, 1, b"c")]


@pytest.mark.parametrize("place", [0, 3, 9, 13, 40])
def test_a_damaged_frame_is_set_aside_the_others_stay_and_a_new_epoch_begins(opened: Opened, place: int) -> None:
    buffer = opened.open()
    buffer.append([part("a")], at(2))
    begin = opened.segments()[0].stat().st_size
    buffer.append([part("b")], at(4))
    buffer.append([part("c")], at(6))
    segment = opened.segments()[0]
    data = bytearray(segment.read_bytes())
    data[begin + place] ^= 0x55
    segment.write_bytes(data)

    again = opened.open()

    assert [path.read_bytes() for path in opened.folder.glob("*.damaged")] == [bytes(data)]
    assert again.next == (1, 0)
    assert again.positions["1:2"].offset == 6
    again.append([part("d")], {})
    assert numbered(drain(again)) == [(0, 0, b"a"), (0, 2, b"c"), (1, 0, b"d")]


def test_damage_is_counted_once(opened: Opened) -> None:
    buffer = opened.open()
    for line in "abc":
        buffer.append([part(line)], {})
    segment = opened.segments()[0]
    data = segment.read_bytes()
    second = data.index(MAGIC, 1)
    segment.write_bytes(data[: second + 20] + b"?" + data[second + 21 :])
    assert opened.open().next == (1, 0)
    assert opened.open().next == (1, 0)
    assert len(list(opened.folder.glob("*.damaged"))) == 1


def test_a_missing_segment_begins_a_new_epoch(opened: Opened) -> None:
    buffer = opened.open(max_bytes=1 << 22, segment_bytes=1)
    for line in ("a", "b", "c"):
        buffer._seal()
        buffer.append([part(line)], {})
    opened.segments()[1].unlink()
    assert opened.open().next == (1, 0)


def test_a_damaged_state_file_begins_a_new_producer(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a")], at(2))
    (opened.folder / "state.json").write_text("{")
    again = opened.open()
    assert again.producer != buffer.producer
    assert again.next == (1, 0)
    assert numbered(drain(again)) == [(0, 0, b"a")]


def test_a_full_buffer_refuses_and_takes_again_once_delivered(opened: Opened) -> None:
    buffer = opened.open(max_bytes=1 << 18)
    block = part(*(f"{i:0100d}" for i in range(500)))
    stored = 5
    for _ in range(stored):
        buffer.append([block], {})
    with pytest.raises(BufferFull, match="not delivered"):
        buffer.append([block], {})
    assert buffer.size_bytes() <= 1 << 18
    assert sum(batch.count for batch in drain(buffer)) == stored * 500
    buffer.append([block], {})
    assert buffer.next == (0, (stored + 1) * 500)


def test_a_full_disk_leaves_nothing_behind_and_the_same_append_works_later(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = opened.open()
    buffer.append([part("a")], at(2))

    def half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(buffer_module, "write_all", half)
        with pytest.raises(BufferFull, match="no space"):
            buffer.append([part("b")], at(4))
    buffer.append([part("c")], at(4))

    again = opened.open()
    assert numbered(drain(again)) == [(0, 0, b"a"), (0, 1, b"c")]
    assert not list(opened.folder.glob("*.damaged"))


def test_a_second_agent_on_the_same_folder_is_refused(opened: Opened) -> None:
    opened.open()
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        Home(opened.folder)


def test_an_old_ack_only_repeats(opened: Opened) -> None:
    buffer = opened.open()
    buffer.append([part("a", "b")], {})
    buffer.acknowledge((0, 2))
    (opened.folder / "acked.json").write_text("")
    assert numbered(drain(opened.open())) == [(0, 0, b"a"), (0, 1, b"b")]
