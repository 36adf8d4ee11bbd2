"""Headers between two offsets, of a reader that gives nothing for a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.messages import Kind, Message
from flows.read.headers import headers_between


class Slow:
    """A bus of four messages, whose reader gives nothing at its first call, and again in the middle."""

    def __init__(self) -> None:
        self._answers: list[list[int]] = [[], [0, 1], [], [2, 3]]

    def reader(self, *_: Any) -> Slow:
        return self

    def headers(self, _limit: int) -> Sequence[Message]:
        return [Message(b"", {}, offset, 1) for offset in (self._answers.pop(0) if self._answers else [])]

    def close(self) -> None: ...


def test_a_reader_that_gives_nothing_for_a_moment_is_asked_again() -> None:
    bus: Any = Slow()
    assert [message.offset for message in headers_between(bus, Kind.LOGS, 0, 0, 4)] == [0, 1, 2, 3]


def test_a_gap_at_the_end_ends_it() -> None:
    bus: Any = Slow()
    assert [message.offset for message in headers_between(bus, Kind.LOGS, 0, 0, 6)] == [0, 1, 2, 3]
