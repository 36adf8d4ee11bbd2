"""Message headers on the bus -> records by tenant: after a store's checkpoints, and before the lake's.

Only headers are read. A message without readable headers counts as one record of the foreign tenant.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from contracts.bus import Bus
from contracts.errors import OffsetExpired
from contracts.messages import Kind, Message, from_headers
from contracts.tenants import Tenant

_SCAN = 1000
_UNKNOWN = -1


@dataclass(slots=True)
class Lag:
    """Accepted messages of a tenant that a store has not taken yet, and the records in them."""

    messages: int = 0
    records: int = 0


def ahead(
    bus: Bus, kind: Kind, checkpoints: Mapping[str, Mapping[int, int]], foreign: Tenant
) -> dict[Tenant, dict[str, Lag]]:
    """What each store has yet to take, by tenant. `checkpoints`: by store, the next offset by partition.

    Raises:
        OffsetExpired: Retention removed messages that were to be counted; call again.
        BusError: The bus cannot be read.
    """
    lags: dict[Tenant, dict[str, Lag]] = defaultdict(lambda: {store: Lag() for store in checkpoints})
    for partition, extent in bus.extents(kind.topic).items():
        start = {store: found.get(partition, 0) for store, found in checkpoints.items()}
        first = max(min(start.values()), extent.first_offset)
        for message in _headers(bus, kind.topic, partition, first, extent.next_offset):
            tenant, records = _counted(message, foreign)
            for store, offset in start.items():
                if message.offset >= offset:
                    lags[tenant][store].messages += 1
                    lags[tenant][store].records += 1 if records == _UNKNOWN else records
    return lags


@dataclass(slots=True)
class _Passed:
    """One partition from offset 0 to `next_offset`."""

    next_offset: int = 0
    whole: bool = True  # false when the bus no longer held the start
    records: Counter[Tenant] = field(default_factory=Counter)
    inexact: set[Tenant] = field(default_factory=set)


class Behind:
    """Counts the messages before the lake's checkpoints, a bounded part per call; each message is read once.

    Thread-safe. Costs about 10 CPU-us a message; `budget` messages at most in one call.
    """

    def __init__(self, budget: int = 20_000) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._passed: dict[tuple[Kind, int], _Passed] = defaultdict(_Passed)

    def received(
        self, bus: Bus, kind: Kind, checkpoints: Mapping[int, int], foreign: Tenant
    ) -> Mapping[Tenant, int | None] | None:
        """Records accepted before `checkpoints`, by tenant; None for a tenant whose messages do not say how many.

        The whole answer is None if the bus no longer holds a part, or if the count has not reached the checkpoints yet.
        """
        with self._lock:
            if not all(self._reach(bus, kind, partition, end, foreign) for partition, end in checkpoints.items()):
                return None
            parts = [self._passed[kind, partition] for partition in checkpoints]
            total: Counter[Tenant] = sum((part.records for part in parts), Counter())
            inexact = {tenant for part in parts for tenant in part.inexact}
            return {**total, **dict.fromkeys(inexact)}

    def _reach(self, bus: Bus, kind: Kind, partition: int, end: int, foreign: Tenant) -> bool:
        passed = self._passed[kind, partition]
        if not passed.whole or passed.next_offset > end:
            return False
        try:
            stop = min(end, passed.next_offset + self._budget)
            for message in _headers(bus, kind.topic, partition, passed.next_offset, stop):
                tenant, records = _counted(message, foreign)
                if records == _UNKNOWN:
                    passed.inexact.add(tenant)
                passed.records[tenant] += max(records, 0)
                passed.next_offset = message.offset + 1
        except OffsetExpired:
            passed.whole = False
        return passed.whole and passed.next_offset == end


def _headers(bus: Bus, topic: str, partition: int, first: int, end: int) -> Iterator[Message]:
    if first >= end:
        return
    reader = bus.reader(topic, partition, first)
    try:
        # Offsets may have gaps: as many messages as there are offsets may reach past `end`.
        while messages := reader.headers(min(_SCAN, end - first)):
            yield from (message for message in messages if message.offset < end)
            first = messages[-1].offset + 1
            if first >= end:
                return
    finally:
        reader.close()


def _counted(message: Message, foreign: Tenant) -> tuple[Tenant, int]:
    try:
        header = from_headers(message.headers)
    except (ValueError, msgspec.MsgspecError):
        header = None
    return (foreign, _UNKNOWN) if header is None else (header.tenant, header.count)
