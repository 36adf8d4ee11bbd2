"""Pipe: standard input, with the clock passed in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from agents.joining import joining
from agents.lines import FLAG, Limits, Origin, Part
from agents.pipe import Pipe

TRACE = "2026-11-30 19:40:07 ERROR no stock\n\tat Shop.buy(Shop.java:41)"


class Piped:
    """A pipe, its writing end, and what was taken as (body, flag)."""

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        how = joining("auto", 2000, 1 << 16, 1.0)
        self.pipe = Pipe(reading, Origin("", "", "", {}), Limits(1000, 1 << 20, 1 << 16), 5.0, how)

    def write(self, text: str) -> None:
        os.write(self.writing, text.encode())

    def take(self, now_s: float) -> list[tuple[str, str | None]]:
        return records(self.pipe.take(now_s, 1)[0])


def records(parts: list[Part]) -> list[tuple[str, str | None]]:
    lines = [msgspec.json.decode(line) for part in parts for line in part.payload.splitlines()]
    return [(line["body"], line["attributes"].get(FLAG)) for line in lines]


@pytest.fixture
def piped() -> Iterator[Piped]:
    each = Piped()
    yield each
    os.close(each.pipe._fd)
    if not each.pipe.ended:
        os.close(each.writing)


def test_a_trace_that_comes_in_two_parts_is_one_record(piped: Piped) -> None:
    piped.write(f"first\n{TRACE}\n\tat ")
    assert piped.take(0) == [("first", None)]
    piped.write("Main.run(Main.java:3)\nnext\n")
    assert piped.take(0.5) == [(f"{TRACE}\n\tat Main.run(Main.java:3)", None)]
    assert piped.take(1.4) == []
    assert piped.take(1.5) == [("next", None)]


def test_a_record_waits_for_its_next_line_no_longer_than_it_may(piped: Piped) -> None:
    piped.write(f"{TRACE}\n\tat un")
    assert piped.take(0) == []
    assert piped.take(1) == [(TRACE, None)]
    piped.write("finished\n")
    assert piped.take(2) == []
    assert piped.take(3) == [("\tat unfinished", "end")]


def test_the_end_of_the_input_ends_its_last_record(piped: Piped) -> None:
    piped.write(f"{TRACE}\n")
    os.close(piped.writing)
    assert piped.take(0) == []
    assert piped.take(0) == [(TRACE, None)]
    assert piped.pipe.ended


def test_a_stop_gives_what_waits(piped: Piped) -> None:
    piped.write(f"{TRACE}\nbegun")
    assert piped.take(0) == []
    os.close(piped.writing)
    assert records(piped.pipe.finish(1)) == [(TRACE, None), ("begun", "partial")]


def test_a_trace_longer_than_a_record_may_be_is_sent_in_pieces(piped: Piped) -> None:
    frame = "\tat com.example.Shop.buy(Shop.java:41)\n"
    found: list[tuple[str, str | None]] = []
    piped.write(TRACE + "\n")
    for _ in range(100):
        piped.write(frame * 100)
        found += piped.take(0)
    piped.write("2026-11-30 19:40:08 INFO next\n")
    found += piped.take(0)
    assert "\n".join(body for body, _ in found).count("\tat com") == 10_000
    assert max(len(body) for body, _ in found) <= 1 << 16
    assert [flag for _, flag in found] == ["split"] * (len(found) - 1) + ["end"]
