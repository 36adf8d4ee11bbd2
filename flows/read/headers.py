"""Headers: a bus partition and two offsets -> the messages between them without their payloads, in order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from contracts.bus import Bus
from contracts.errors import OffsetExpired
from contracts.messages import Kind, Message

SCAN_MESSAGES = 5_000
LOOKS, LOOK_PAUSE_S = 20, 0.05  # at a reader that gives nothing: it may not have heard of its partition yet


def headers_between(bus: Bus, kind: Kind, partition: int, first: int, end: int) -> Iterator[Message]:
    """The messages `first` to `end` (exclusive) without payloads; what expires meanwhile is left out.

    Offsets may have gaps: as many messages as there are offsets may reach past `end`. A reader that gives nothing
    before `end` is asked again for a second, as only a gap is an end.
    """
    looks = 0
    while first < end:
        try:
            with contextlib.closing(bus.reader(kind.topic, partition, first)) as reader:
                while first < end and looks < LOOKS:
                    messages = reader.headers(min(SCAN_MESSAGES, end - first))
                    if not messages:
                        looks += 1
                        time.sleep(LOOK_PAUSE_S)
                        continue
                    yield from (message for message in messages if message.offset < end)
                    first, looks = messages[-1].offset + 1, 0
                return
        except OffsetExpired as error:
            first = error.first_offset
