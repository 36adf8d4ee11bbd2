"""The bus port: an append-only, partitioned log of opaque bytes.

The URL scheme picks the adapter (`bus.open_bus`): `sqlite:///path` (embedded) or `kafka://host:port` (cluster). The
bus keeps no consumer positions: readers own their offsets, so a replay is a normal event and every sink must be
idempotent. A topic exists from the first append or read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.messages import Message


@dataclass(frozen=True, slots=True)
class Extent:
    """Offsets that one partition holds: `first_offset` (inclusive) to `next_offset` (exclusive)."""

    first_offset: int
    next_offset: int


class Reader(Protocol):
    """A cursor over one partition, with a connection of its own. Not thread-safe. Other processes may write."""

    def poll(self, limit: int, max_bytes: int = 4 << 20) -> Sequence[Message]:
        """Return the next messages, or none at once; never block, never skip.

        Returns at most `limit` messages and at most `max_bytes` of payload, but at least one message if one is ready.

        Raises:
            OffsetExpired: Retention has removed the next offset; the cursor did not move.
            BusError: The bus cannot be read now; the same call may be retried.
        """
        ...

    def headers(self, limit: int) -> Sequence[Message]:
        """Like `poll`, but with empty payloads; some adapters do this at a lower cost. Moves the cursor."""
        ...

    def close(self) -> None: ...


class Bus(Protocol):
    """Thread-safe. Open it in each process; never carry it across a fork."""

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        """Store `messages` in order, in the partition chosen by `key`; return their offsets. Blocks until durable.

        All or nothing. Not idempotent: the same call twice stores twice. A call without messages stores nothing; it
        raises the error that an append would raise now, as far as the adapter can tell.

        Raises:
            BusFull: The disk or size limit is exhausted; nothing was stored.
            OutcomeUnknown: `timeout_s` passed after sending; the messages may be stored.
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
        """The extent of each partition of `topic` now."""
        ...

    def identity(self, topic: str) -> str:
        """An id of the log behind `topic`: while the id is the same, an offset means the same message.

        The id changes when the topic was lost and created again, so that offsets began again at 0. A moved or copied
        bus file keeps its id. "" if the engine has no ids.

        Raises:
            BusError: The bus does not answer now.
        """
        ...

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        """Apply retention by age and size, oldest first, never at or past the `consumed` next-offset of a partition.

        Returns the number of messages removed. Idempotent. A partition absent from `consumed` keeps all its messages.
        Does nothing if the engine has a retention of its own.
        """
        ...

    def size_bytes(self) -> int:
        """Bytes on the local disk; 0 for a bus on other machines."""
        ...

    def close(self) -> None:
        """Finish pending appends, then release all resources. Idempotent."""
        ...
