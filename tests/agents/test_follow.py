"""Follow: one open file, with the clock passed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.follow import Follower
from agents.joining import EACH_LINE, Joining, joining
from agents.lines import FLAG, Limits, LineEncoder, Origin
from agents.positions import Position
from agents.sources import OpenFiles, PlainFile

LIMITS = Limits(1000, 1 << 20, 1 << 18)


class Followed:
    """A file, its follower, and what was taken so far as (body, flag)."""

    def __init__(self, path: Path, how: Joining = EACH_LINE) -> None:
        self.path = path
        path.touch()
        status = path.stat()
        position = Position(str(path), status.st_dev, status.st_ino)
        encoder = LineEncoder(Origin("", "", "", {}), LIMITS)
        source = PlainFile(OpenFiles(8), str(path), os.open(path, os.O_RDONLY))
        self.follower = Follower(source, position, encoder, LIMITS, 5.0, how)

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def take(self, now_s: float, commit: bool = True) -> list[tuple[str, str | None]]:
        taken = self.follower.take(now_s, 1)
        if taken is None:
            return []
        if commit:
            self.follower.commit(taken)
        lines = [msgspec.json.decode(line) for part in taken.parts for line in part.payload.splitlines()]
        return [(line["body"], line["attributes"].get(FLAG)) for line in lines]


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    each = Followed(tmp_path / "app.log")
    yield each
    each.follower.close()


def test_what_was_not_committed_is_given_again(followed: Followed) -> None:
    followed.write(b"one\n")
    assert followed.take(0, commit=False) == [("one", None)]
    assert followed.take(1) == [("one", None)]
    assert followed.take(2) == []


def test_an_unfinished_line_is_held_from_its_first_sight_and_sent_after_the_hold(followed: Followed) -> None:
    followed.write(b"be")
    assert followed.take(0) == []
    followed.write(b"gun")
    assert followed.take(4.9) == []
    assert followed.take(5.0) == [("begun", "partial")]
    followed.write(b" more")
    assert followed.take(6.0) == []
    followed.write(b"\nnext\n")
    assert followed.take(6.1) == [(" more", "end"), ("next", None)]


def test_an_unfinished_line_that_is_finished_in_time_is_whole(followed: Followed) -> None:
    followed.write(b"be")
    assert followed.take(0) == []
    followed.write(b"gun\n")
    assert followed.take(4) == [("begun", None)]


def test_a_character_that_is_not_all_there_waits_for_its_rest(followed: Followed) -> None:
    data = "café\n".encode()
    followed.write(data[:4])
    assert followed.take(0) == []
    assert followed.take(5) == [("caf", "partial")]
    followed.write(data[4:])
    assert followed.take(6) == [("é", "end")]


def test_a_file_cut_and_written_anew_between_two_looks_is_a_new_generation(followed: Followed) -> None:
    followed.write(b"one\n")
    followed.take(0)
    os.truncate(followed.path, 0)
    followed.write(b"another one\n")
    assert followed.take(1) == []  # first the tail asks whether it is a copy
    assert followed.follower.position.generation == 1
    assert followed.take(1) == [("another one", None)]


def test_growth_is_not_taken_for_a_new_generation(followed: Followed) -> None:
    for number in range(300):
        followed.write(f"line {number}\n".encode())
        assert followed.take(number) == [(f"line {number}", None)]
    followed.follower.verify()
    assert followed.follower.position.generation == 0
    assert followed.follower.at_end()


def test_nothing_left_of_a_line_begun_earlier_gives_no_record(followed: Followed) -> None:
    followed.write(b"begun")
    assert followed.take(0) == []
    assert followed.take(5) == [("begun", "partial")]
    followed.write(b"\nwhole\n")
    assert followed.take(6) == [("whole", None)]


TRACE = b"2026-11-30 19:40:07 ERROR no stock\n\tat Shop.buy(Shop.java:41)\n"


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[Followed]:
    each = Followed(tmp_path / "app.log", joining("auto", 2000, LIMITS.line_bytes, 1.0))
    yield each
    each.follower.close()


def test_a_trace_that_is_written_in_two_parts_is_one_record(joined: Followed) -> None:
    joined.write(TRACE)
    assert joined.take(0) == []
    joined.write(b"Caused by: java.io.IOException: pipe\n\t... 2 more\n2026-11-30 19:40:08 INFO next\n")
    assert joined.take(0.9) == [(TRACE.decode() + "Caused by: java.io.IOException: pipe\n\t... 2 more", None)]
    assert joined.take(1.0) == []
    assert joined.take(2.0) == [("2026-11-30 19:40:08 INFO next", None)]
    assert joined.follower.at_end()


def test_a_record_waits_for_its_next_line_no_longer_than_it_may(joined: Followed) -> None:
    joined.write(TRACE)
    assert joined.take(0) == []
    assert joined.take(0.9) == []
    assert joined.take(1.0) == [(TRACE.decode().rstrip("\n"), None)]
    joined.write(b"\tat late\n")
    assert joined.take(1.1) == []
    assert joined.take(2.1) == [("\tat late", "end")]


def test_an_unfinished_line_does_not_let_a_record_wait(joined: Followed) -> None:
    joined.write(TRACE + b"\tat un")
    assert joined.take(0) == []
    assert joined.take(1.0) == [(TRACE.decode().rstrip("\n"), None)]
    joined.write(b"finished\n")
    assert joined.take(1.1) == []
    assert joined.take(2.1) == [("\tat unfinished", "end")]


def test_a_trace_longer_than_a_read_is_sent_in_pieces_and_the_next_line_is_read(joined: Followed) -> None:
    frame = b"\tat com.example.Shop.buy(Shop.java:41)\n"
    joined.write(b"2026-11-30 19:40:07 ERROR deep\n" + frame * 30_000 + b"2026-11-30 19:40:08 INFO next\n")
    found = [each for now_s in range(40) for each in joined.take(now_s)]
    assert "\n".join(body for body, _ in found[:-1]).count("\tat com") == 30_000
    assert [flag for _, flag in found] == ["split"] * (len(found) - 2) + ["end", None]
    assert found[-1] == ("2026-11-30 19:40:08 INFO next", None)
    assert max(len(body) for body, _ in found) <= LIMITS.line_bytes


def test_the_pieces_of_a_long_line_carry_its_start(joined: Followed) -> None:
    joined.write(b"2026-11-30 19:40:07 " + b"x" * (2 * LIMITS.line_bytes) + b"\n")
    preceding: list[str | None] = []
    for now_s in range(3):
        taken = joined.follower.take(now_s, 1)
        assert taken
        preceding += [msgspec.json.decode(part.payload).get("preceding_text") for part in taken.parts]
        joined.follower.commit(taken)
    start = "2026-11-30 19:40:07 " + "x" * 236
    assert preceding == [None, start, start]


def test_the_nuls_of_a_hole_are_skipped_and_counted(joined: Followed) -> None:
    joined.write(b"one\ntorn" + bytes(5000) + b"two\n")
    assert joined.take(0) == [("one", None), ("torn", None)]
    hole = joined.follower.take(0, 1)
    assert hole is not None
    assert (hole.parts, hole.nul_bytes) == ([], 5000)
    joined.follower.commit(hole)
    assert joined.take(1) == []
    assert joined.take(2) == [("two", None)]


def test_nuls_at_the_end_wait_for_what_is_written_over_them(joined: Followed) -> None:
    joined.write(b"one\n" + bytes(1 << 20))
    assert joined.take(0) == []
    assert joined.take(1) == [("one", None)]
    assert joined.take(2) == []
    assert joined.follower.at_end()
    with joined.path.open("r+b") as file:
        file.seek(4)
        file.write(b"two\n")
    os.utime(joined.path, (1, 1))
    assert joined.take(3) == []
    assert joined.take(4) == [("two", None)]


def test_a_sparse_gibibyte_is_jumped_over(joined: Followed) -> None:
    with joined.path.open("r+b") as file:
        file.truncate(1 << 30)
        file.seek(1 << 30)
        file.write(b"after\n")
    assert [each for now_s in range(4) for each in joined.take(now_s)] == [("after", None)]


def test_the_byte_order_mark_of_a_file_is_no_part_of_its_first_record(joined: Followed) -> None:
    joined.write(b"\xef\xbb\xbf" + b'{"level":"error","msg":"first"}\n\xef\xbb\xbfsecond\n')
    found = [each for now_s in range(3) for each in joined.take(now_s)]
    assert found == [('{"level":"error","msg":"first"}', None), ("\ufeffsecond", None)]
