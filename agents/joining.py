"""Joining: the rule by which lines become records, and the records as runs of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.between import Between
from agents.traces import continued, opened_by
from contracts.errors import ConfigError
from text.patterns import given_bytes_pattern

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, slots=True)
class Joining:
    """How lines become records.

    Attributes:
        begins: Pattern that matches the first line of a record; None for the rules of `agents.traces`.
        joins: False if each line is a record.
        lines, most_bytes: Most lines and bytes of a joined record; a longer one is sent in pieces.
        hold_s: How long the last record waits for its next line.
    """

    begins: Callable[[bytes], object] | None
    joins: bool
    lines: int
    most_bytes: int
    hold_s: float

    def after(self, line: bytes, state: str) -> str | None:
        """State of the record after `line`, None if `line` begins a record."""
        if not self.joins:
            return None
        if self.begins:
            return None if self.begins(line) else state
        return continued(line, state)

    def opened_by(self, line: bytes) -> str:
        return opened_by(line) if self.joins and not self.begins else ""


EACH_LINE = Joining(None, False, 1, 1, 0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records: `data` is one record if `joined`, else each of its lines is one."""

    data: bytes
    joined: bool = False
    preceding: str = ""
    part: int = 0
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """`runs` from the first `size` bytes of the lines, and the state after them."""

    runs: list[Run]
    size: int
    between: Between


def joining(mode: str, lines: int, limit_bytes: int, hold_s: float) -> Joining:
    """`mode`: "auto", "none", or a pattern (RE2) that matches the first line of each record from its start.

    Raises:
        ConfigError: The pattern cannot be read, or matches an empty line.
    """
    if mode in (AUTO, NONE):
        return Joining(None, mode == AUTO, lines, limit_bytes, hold_s)
    try:
        begins = given_bytes_pattern(mode).match
    except ValueError as error:
        raise _refused(mode, f"cannot be read: {error}") from error
    if begins(b""):
        raise _refused(mode, "matches an empty line, so every line would begin a record")
    return Joining(begins, True, lines, limit_bytes, hold_s)


def _refused(mode: str, reason: str) -> ConfigError:
    return ConfigError(
        f'multiline pattern "{mode[:200]}" {reason}',
        hint='pass "auto", "none", or a pattern in RE2 syntax that matches the first line of a record',
    )


def without_returns(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in data else data


def pieces_of(data: bytes, how: Joining, most_bytes: int = 0) -> list[bytes]:
    """`data`, a joined record, cut between its lines where it passes a limit; a longer line stays whole."""
    most_bytes = most_bytes or how.most_bytes
    if len(data) <= most_bytes and data.count(b"\n") < how.lines:
        return [data]
    pieces: list[bytes] = []
    begin = end = count = 0
    while end < len(data):
        following = data.find(b"\n", end) + 1 or len(data) + 1
        if count and (following - begin > most_bytes or count >= how.lines):
            pieces.append(data[begin : end - 1])
            begin, count = end, 0
        end, count = following, count + 1
    return [*pieces, data[begin:]]
