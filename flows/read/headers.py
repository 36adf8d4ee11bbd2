"""Headers: a bus partition and two offsets -> the messages between them without their payloads, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from contracts.bus import Bus
from contracts.errors import OffsetExpired
from contracts.messages import Kind, Message

SCAN_MESSAGES = 5_000


def headers_between(bus: Bus, kind: Kind, partition: int, first: int, end: int) -> Iterator[Message]:
    """The messages `first` to `end` (exclusive) without payloads; what expires meanwhile is left out.

    Offsets may have gaps: as many messages as there are offsets may reach past `end`.
    """
    while first < end:
        try:
            with contextlib.closing(bus.reader(kind.topic, partition, first)) as reader:
                while first < end and (messages := reader.headers(min(SCAN_MESSAGES, end - first))):
                    yield from (message for message in messages if message.offset < end)
                    first = messages[-1].offset + 1
                return
        except OffsetExpired as error:
            first = error.first_offset
