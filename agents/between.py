"""Between: the records before a read position -> what they mean for the records after it. Stored with the position."""

from __future__ import annotations

import msgspec

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
