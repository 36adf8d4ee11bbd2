"""Between: the records before a read position -> what they mean for the records after it. Stored with the position."""

from __future__ import annotations

import msgspec

from text.heads import has_time

PRECEDING_CHARS = 256


class Open(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of which a part was sent, and which the next line may continue.

    Attributes:
        part: Pieces that were sent.
        state: State of the record, as in `agents.traces`.
        inside: True if the record was cut within a line, between two of its pieces.
    """

    part: int = 0
    state: str = ""
    inside: bool = False


class Between(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the records before a read position mean for the records after it.

    Attributes:
        opened: The open record of each stream of a container; the key is "" in a file without streams.
        preceding: Start of the last record that has a time of its own; at most 256 characters.
    """

    opened: dict[str, Open] = {}  # msgspec gives each its own
    preceding: str = ""


def start_of(record: bytes) -> str:
    """The start of a record as it is sent as `preceding_text`."""
    return record[: 4 * PRECEDING_CHARS].decode(errors="replace")[:PRECEDING_CHARS].rstrip("\r")


def piece_between(before: Between, piece: bytes, part: int) -> tuple[str, Between]:
    """The preceding text of a piece of a line, and the state after it. `part`: pieces of the line that were sent."""
    if part or not has_time(piece):
        return before.preceding, Between({}, before.preceding)
    return "", Between({}, start_of(piece))
