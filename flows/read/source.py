"""Source: a bus topic -> arrivals, one part per bus partition.

At least once by itself: a flow starts where the furthest-behind of its sinks stands, whatever a recovery store says,
and sinks skip what they have. A bus that was lost and made anew is read from its beginning (`places`). Repeats of
senders are counted here, from headers, by what is remembered of those before the start (`memory`). Idle parts emit
ticks, so that sinks can look at their clocks, and pause together (`pace`).
"""

# ruff: noqa: ARG002  the engine says which arguments `build_part` takes

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
import time
from collections.abc import Sequence

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from contracts.batches import arrival_day
from contracts.bus import Reader
from contracts.errors import BusError, ConfigError, OffsetExpired
from contracts.messages import Kind, Message
from contracts.tenants import Tenant
from flows.arrivals import Arrival, Item, Lost, arrival, tick
from flows.connections import Connections
from flows.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, patiently, say_waiting
from flows.read.headers import headers_between
from flows.read.memory import Memory
from flows.read.pace import Pace
from flows.read.places import Start, start_of

POLL_MESSAGES = 32
POLL_BYTES = 256 << 10  # of compressed payload: about ten times as much when opened, and row objects on top
LOOK_S = 60.0  # between looks for partitions that were added, and whether the topic is still the same

log = logging.getLogger("headwater.flows")


class BusSource(FixedPartitionedSource[Arrival | Item, int]):
    """The topic of `kind`. Ends when `stop` is set."""

    def __init__(self, connections: Connections, kind: Kind, stop: threading.Event, pace: Pace) -> None:
        self._connections = connections
        self._kind = kind
        self._stop = stop
        self._pace = pace
        self._partitions = 0

    def list_parts(self) -> list[str]:
        found: list[str] = []

        def look() -> None:
            found.extend(str(partition) for partition in self._connections.bus.partitions(self._kind.topic))

        patiently(f"asking for the partitions of {self._kind.topic}", look, self._stop)
        self._partitions = len(found)
        return found

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> BusPart:
        """Open the part at the sinks' checkpoint; `resume_state` is a hint that is not needed.

        Raises:
            ConfigError: The bus lacks what the sinks have of it.
        """
        # Stays so only when told to stop before bus and stores answered: then nothing is read.
        start = Start(self._connections.bus, "", 0)

        def look_up() -> None:
            nonlocal start
            start = start_of(self._connections, self._kind, int(for_part))
            self._connections.starts[self._kind, int(for_part)] = start

        patiently(f"reading the checkpoints of {self._kind}", look_up, self._stop)
        parts = self._partitions
        return BusPart(self._connections, self._kind, int(for_part), start, self._stop, self._pace, parts, saves=True)


class BusPart(StatefulSourcePartition[Arrival | Item, int]):
    """One partition, from `start` on. Looks now and then whether the topic is still the one that it reads; the first
    part also whether there are more than `of` of them by now.

    `saves`: what is known of repeats is saved as reading goes on; to be said of one reader of a partition.
    """

    def __init__(
        self,
        connections: Connections,
        kind: Kind,
        partition: int,
        start: Start,
        stop: threading.Event,
        pace: Pace,
        of: int = 0,
        saves: bool = False,
    ) -> None:
        settings = connections.settings
        self._bus, self._kind, self._partition, self._stop = start.bus, kind, partition, stop
        self._tenant = Tenant(settings.foreign_tenant)
        self._pace = pace
        self._start = start
        self._next = start.offset
        self._try_s = 0.0  # not before this time, monotonic
        self._pause_s = FIRST_PAUSE_S
        self._reader: Reader | None = None
        self._of = of if partition == 0 else 0
        self._look_s = time.monotonic() + LOOK_S
        self._memory = Memory(connections, kind, partition, start.bus, stop)
        self._memory.recall(start.offset, saves)
        pace.join(self)

    def _arrival(self, message: Message) -> Arrival:
        arrived = arrival(self._kind, self._tenant, self._partition, message)
        fresh = self._memory.fresh(arrived)
        if fresh is None or fresh == (range(arrived.header.span),):
            return arrived
        return Arrival(arrived.header, self._partition, message, fresh)

    def next_batch(self) -> Sequence[Arrival | Item]:
        if self._stop.is_set():
            raise StopIteration
        self._memory.save(self._next)
        if time.monotonic() >= self._look_s:
            self._look()
        if time.monotonic() < self._try_s:
            return self._nothing()
        try:
            if self._next < self._start.base:
                return [self._pass_earlier_bus()]
            if self._reader is None:
                self._reader = self._bus.reader(self._kind.topic, self._partition, self._next)
                self._check_identity()  # after it is open: it stays with the topic that it found
            messages = self._reader.poll(POLL_MESSAGES, POLL_BYTES)
        except OffsetExpired as error:
            return [self._jump(error.first_offset)]
        except BusError as error:
            return self._wait(error)
        self._pause_s = FIRST_PAUSE_S
        if not messages:
            return self._nothing()
        self._pace.busy(self)
        self._next = messages[-1].offset + 1
        return [self._arrival(message) for message in messages]

    def _look(self) -> None:
        """Who starts the flow again reads a topic that was replaced, and partitions that were added: the engine gives
        them out once.

        Raises:
            ConfigError: There is such a thing.
        """
        self._look_s = time.monotonic() + LOOK_S
        with contextlib.suppress(BusError):
            self._check_identity()
            found = len(self._bus.partitions(self._kind.topic)) if self._of else 0
            if found > self._of:
                raise ConfigError(
                    f'topic "{self._kind.topic}" has {found} partitions now, and had {self._of} at the start',
                    hint="started again, the flow reads all of them",
                )

    def _check_identity(self) -> None:
        if self._bus.identity(self._kind.topic) != self._start.identity:
            raise ConfigError(
                f'topic "{self._kind.topic}" was lost and made anew while it was read',
                hint="started again, the flow reads all of the new one",
            )

    def _pass_earlier_bus(self) -> Lost:
        """What stood there is read, or gone with the bus."""
        start = self._start
        first = start.bus.extents(self._kind.topic)[self._partition].first_offset
        day = self._day_of(first) if start.hot_lacks else None
        lost = Lost(self._kind, self._partition, self._next, start.base, day, start.known_lost)
        self._next = start.base
        return lost

    def _nothing(self) -> Sequence[Item]:
        self._pace.idle(self)
        return [tick(self._kind, self._tenant, self._partition, self._next)]

    def _wait(self, error: BusError) -> Sequence[Item]:
        say_waiting(f"reading {self._kind.topic}", error, self._pause_s)
        self._try_s = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._let_go()
        return self._nothing()

    def _jump(self, first_offset: int) -> Lost:
        """Go on at what remains; say what is gone, and up to which day."""
        lost = Lost(self._kind, self._partition, self._next, first_offset, self._day_of(first_offset))
        log.error(
            "offsets %d to %d of %s/%d expired before they were read: raise HEADWATER_BUS_RETENTION_H or _MIB",
            lost.first,
            lost.next_offset,
            self._kind.topic,
            self._partition,
        )
        self._let_go()
        self._next = first_offset
        return lost

    def _day_of(self, offset: int) -> dt.date:
        try:
            first = next(headers_between(self._bus, self._kind, self._partition, offset, offset + 1), None)
        except BusError:
            first = None
        return arrival_day(first.appended_ns) if first else dt.datetime.now(dt.UTC).date()

    def _let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def snapshot(self) -> int:
        return self._next

    def close(self) -> None:
        self._pace.leave(self)
        self._memory.close(self._next)
        self._let_go()
