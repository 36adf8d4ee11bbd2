"""Follow: one open file, with the clock passed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.follow import Follower
from agents.lines import FLAG, Limits, LineEncoder, Origin
from agents.positions import Position

LIMITS = Limits(1000, 1 << 20, 1 << 18)


class Followed:
    """A file, its follower, and what was taken so far as (body, flag)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        status = path.stat()
        position = Position(str(path), status.st_dev, status.st_ino)
        encoder = LineEncoder(Origin("", "", "", {}), LIMITS)
        self.follower = Follower(os.open(path, os.O_RDONLY), position, encoder, LIMITS, hold_s=5.0)

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
    assert followed.take(1) == [("another one", None)]
    assert followed.follower.position.generation == 1


def test_growth_is_not_taken_for_a_new_generation(followed: Followed) -> None:
    for number in range(300):
        followed.write(f"line {number}\n".encode())
        assert followed.take(number) == [(f"line {number}", None)]
    followed.follower.verify()
    assert followed.follower.position.generation == 0
    assert followed.follower.at_end()
