"""A bus with shifted offsets: (bus, topic, base by partition) -> a bus that shows its offset o as base + o.

Used after a bus was lost and created again: readers and stores continue to count from their last offset, see
`lakehouse.lake.numbering`. Other topics are unchanged. If no base is above 0, the result is `bus` itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from contracts.bus import Bus, Extent, Reader
from contracts.errors import OffsetExpired
from contracts.messages import Message


def renumbered(bus: Bus, topic: str, bases: Mapping[int, int]) -> Bus:
    moved = {partition: base for partition, base in bases.items() if base}
    return RenumberedBus(bus, topic, moved) if moved else bus


class RenumberedBus:
    """See `contracts.bus.Bus`; closing it leaves the bus below open."""

    def __init__(self, bus: Bus, topic: str, bases: Mapping[int, int]) -> None:
        self._bus, self._topic, self._bases = bus, topic, bases

    def _base(self, topic: str, partition: int) -> int:
        return self._bases.get(partition, 0) if topic == self._topic else 0

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        base = self._base(topic, self._bus.partition_for(topic, key)) if messages else 0
        return [base + offset for offset in self._bus.append(topic, key, messages, timeout_s)]

    def partitions(self, topic: str) -> Sequence[int]:
        return self._bus.partitions(topic)

    def partition_for(self, topic: str, key: str) -> int:
        return self._bus.partition_for(topic, key)

    def reader(self, topic: str, partition: int, offset: int) -> Reader:
        base = self._base(topic, partition)
        if not base:
            return self._bus.reader(topic, partition, offset)
        if offset < base:
            first = base + self._bus.extents(topic)[partition].first_offset
            raise OffsetExpired(f"{topic}/{partition}: offset {offset} belongs to an earlier bus", first_offset=first)
        try:
            return _Reader(self._bus.reader(topic, partition, offset - base), base)
        except OffsetExpired as error:
            raise _moved(error, base) from error

    def extents(self, topic: str) -> Mapping[int, Extent]:
        found = {}
        for partition, extent in self._bus.extents(topic).items():
            base = self._base(topic, partition)
            found[partition] = Extent(base + extent.first_offset, base + extent.next_offset)
        return found

    def identity(self, topic: str) -> str:
        return self._bus.identity(topic)

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        own = {partition: offset - self._base(topic, partition) for partition, offset in consumed.items()}
        return self._bus.trim(topic, {partition: max(0, offset) for partition, offset in own.items()})

    def size_bytes(self) -> int:
        return self._bus.size_bytes()

    def close(self) -> None:
        pass


class _Reader:
    def __init__(self, reader: Reader, base: int) -> None:
        self._reader, self._base = reader, base

    def poll(self, limit: int, max_bytes: int = 4 << 20) -> Sequence[Message]:
        try:
            return self._counted(self._reader.poll(limit, max_bytes))
        except OffsetExpired as error:
            raise _moved(error, self._base) from error

    def headers(self, limit: int) -> Sequence[Message]:
        try:
            return self._counted(self._reader.headers(limit))
        except OffsetExpired as error:
            raise _moved(error, self._base) from error

    def _counted(self, messages: Sequence[Message]) -> Sequence[Message]:
        return [replace(message, offset=self._base + message.offset) for message in messages]

    def close(self) -> None:
        self._reader.close()


def _moved(error: OffsetExpired, base: int) -> OffsetExpired:
    return OffsetExpired(str(error), first_offset=base + error.first_offset, hint=error.hint)
