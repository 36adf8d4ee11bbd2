"""The bus port: an append-only, partitioned log of opaque bytes.

The URL scheme picks the adapter (`bus.open_bus`): `sqlite:///path` (embedded), later `kafka://host:port`. The bus
keeps no consumer positions; readers own their offsets, so a replay is a normal event and every sink must be
idempotent. A topic exists from the first append or read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.messages import Message


@dataclass(frozen=True, slots=True)
class Extent:
    """What one partition holds: offsets `first_offset` (inclusive) to `next_offset` (exclusive)."""

    first_offset: int
    next_offset: int


class Reader(Protocol):
    """A cursor over one partition. Not thread-safe; its own connection, usable beside writers in other processes."""

    def poll(self, limit: int, max_bytes: int = 4 << 20) -> Sequence[Message]:
        """Return the next messages, or none at once; never block, never skip.

        At most `limit`, and at most `max_bytes` of payload (but at least one message when there is one).

        Raises:
            OffsetExpired: Retention removed the next offset meanwhile; the cursor stays where it was.
            BusError: The bus cannot be read now; the same call may be retried.
        """
        ...

    def headers(self, limit: int) -> Sequence[Message]:
        """Like `poll`, with empty payloads: cheaper where the adapter can. Moves the cursor."""
        ...

    def close(self) -> None: ...


class Bus(Protocol):
    """Thread-safe. Open it in each process; never carry it across a fork."""

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        """Store `messages` in order, in the partition chosen by `key`; return their offsets. Blocks until durable.

        All or nothing. Not idempotent: the same call twice stores twice. Without messages it stores nothing and raises
        what an append would now be refused with, as far as that is known without one.

        Raises:
            BusFull: The disk or size limit is exhausted; nothing was stored.
            OutcomeUnknown: `timeout_s` passed after sending; it may be stored.
            BusError: Nothing was stored; the same call may be retried.
        """
        ...

    def partitions(self, topic: str) -> Sequence[int]: ...

    def partition_for(self, topic: str, key: str) -> int:
        """The partition that `append` would choose for `key`."""
        ...

    def reader(self, topic: str, partition: int, offset: int) -> Reader:
        """Open a cursor whose first message is the first at or after `offset`.

        Raises:
            OffsetExpired: Retention has removed `offset`.
        """
        ...

    def extents(self, topic: str) -> Mapping[int, Extent]:
        """What each partition of `topic` holds now."""
        ...

    def identity(self, topic: str) -> str:
        """Which log `topic` is now: as long as the text is the same, an offset means the same message.

        It is another one when the topic was lost and made anew, so that its offsets began again at 0. A file that was
        moved or copied keeps it. "" where the engine cannot say.

        Raises:
            BusError: The bus cannot be asked now.
        """
        ...

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        """Apply retention by age and size, oldest first, never at or past the `consumed` next-offset of a partition.

        Returns the number of messages removed. Idempotent. A partition absent from `consumed` keeps everything.
        Does nothing where the engine keeps its own retention.
        """
        ...

    def size_bytes(self) -> int:
        """Bytes on disk, or 0 where the bus is elsewhere."""
        ...

    def close(self) -> None:
        """Finish pending appends and let go. Idempotent."""
        ...
