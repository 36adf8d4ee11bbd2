"""Memory: a partition and the offset where reading begins -> what was seen of senders before it, kept up and saved.

The newest saved state at or before the offset (`saved_repeats`) is completed from the headers of the messages after it.
Without such a state, all headers that the bus retains are read. On Kafka headers come with their payloads, so that
costs as much as reading everything.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import weakref

from contracts.bus import Bus
from contracts.errors import BusError, StoreError
from contracts.messages import Kind, Message
from contracts.settings import Settings
from contracts.tenants import Tenant
from flows.arrivals import Arrival, arrival
from flows.connections import Connections
from flows.patience import patiently
from flows.read.forgotten import Forgotten
from flows.read.headers import headers_between
from flows.read.repeats import Lines, Repeats
from flows.read.saved_repeats import FOLDER, Recalled, SavedRepeats
from flows.read.saving_repeats import Saving
from lakehouse.delta.blobs import open_blobs

CLOSE_S = 4.0  # for the last saves of all partitions of a flow: it is to end within ten seconds
HANG_S = 10.0  # after which a second reader does without what is saved
SLOW_S = 1.0  # a slower recall is logged

_stopped_s: weakref.WeakKeyDictionary[threading.Event, float] = weakref.WeakKeyDictionary()  # first close, by flow

log = logging.getLogger("headwater.flows")


def empty_repeats(settings: Settings) -> Repeats:
    """A state in which nothing is known."""
    return Repeats(settings.bus_retention_h, settings.idempotency_h, settings.idempotency_keys, settings.flow_streams)


def saved_repeats(connections: Connections, kind: Kind, partition: int) -> SavedRepeats:
    """What is saved of one partition; see `SavedRepeats.at`."""
    settings = connections.settings
    blobs = open_blobs(settings.lake, settings, f"{FOLDER}/{kind.value}/{partition}")
    return SavedRepeats(blobs, connections.lake.identity(), functools.partial(empty_repeats, settings))


class Memory:
    """The memory of one partition of `bus`, whose offsets are places. Not thread-safe. After `stop` it may be
    incomplete."""

    def __init__(self, connections: Connections, kind: Kind, partition: int, bus: Bus, stop: threading.Event) -> None:
        self._connections, self._kind, self._partition, self._bus = connections, kind, partition, bus
        self._tenant = Tenant(connections.settings.foreign_tenant)
        self._stop = stop
        self._known: Recalled | None = None
        self._next = 0  # everything before it is known, or has left the bus
        self._saving: Saving | None = None
        self._repeats = empty_repeats(connections.settings)

    def recall(self, offset: int, saves: bool) -> None:
        """Take all messages before `offset` into account. Blocks; after an error the next try goes on from there.

        `saves`: from now on the state is saved, as often as the lake commits.
        """
        began_s = time.monotonic()
        look = functools.partial(self._recall_once, offset, saves)
        if not patiently("reading what was sent before", look, self._stop):
            return
        if self._known is None or self._stop.is_set():
            return
        if (took_s := time.monotonic() - began_s) > SLOW_S:
            what = f"saved up to {self._known.offset}" if self._known.all_there else "not saved"
            place = f"{self._kind.topic}/{self._partition}"
            log.info("what was sent before offset %d of %s was %s: read in %.1f s", offset, place, what, took_s)
        if saves:
            forgotten = Forgotten(self._connections.settings.data, self._kind, self._partition)
            pause_s = self._connections.settings.lake_commit_s
            saved = saved_repeats(self._connections, self._kind, self._partition)
            self._saving = Saving(saved, self._known, offset, self._landed, pause_s, forgotten.note)

    def _recall_once(self, offset: int, saves: bool) -> None:
        if self._known is None:
            self._known = self._saved_at(offset, saves)
            self._repeats, self._next = self._known.repeats, self._known.offset
            self._repeats.nothing_new()
        extent = self._bus.extents(self._kind.topic)[self._partition]
        if extent.next_offset < offset:  # without this check, repeats of the messages it hides would pass as new
            raise BusError(
                f"{self._kind.topic}/{self._partition} ends at offset {extent.next_offset}, and the stores hold it up "
                f"to {offset}: the broker that answers is behind",
                hint="wait until its replicas are in sync; if the topic was cut, see docs/deploy.md on a lost bus",
                retry_after_s=1,
            )
        first = max(extent.first_offset, self._next)
        for message in headers_between(self._bus, self._kind, self._partition, first, offset):
            if self._stop.is_set():
                return
            self._take(message)
            self._next = message.offset + 1

    def _saved_at(self, offset: int, must: bool) -> Recalled:
        """The saved state. `must` False: a second reader works while the lake is away or hangs, and then reads headers
        instead, which is slower."""
        if must:
            return saved_repeats(self._connections, self._kind, self._partition).at(offset)
        found: list[Recalled] = []

        def look() -> None:
            with contextlib.suppress(StoreError):
                found.append(saved_repeats(self._connections, self._kind, self._partition).at(offset))

        looking = threading.Thread(target=look, name="look at saved repeats", daemon=True)
        looking.start()
        looking.join(HANG_S)
        if found:
            return found[0]
        log.warning("what was saved of repeats cannot be read, the headers of the bus are read instead")
        return Recalled(empty_repeats(self._connections.settings))

    def _take(self, message: Message) -> None:
        self.fresh(arrival(self._kind, self._tenant, self._partition, message))

    def fresh(self, arrived: Arrival) -> Lines | None:
        """Take a message into account, and return its new lines. None: its header does not tell."""
        if arrived.damage or arrived.header.span < 0:
            return None
        return self._repeats.fresh(arrived.header)

    def _landed(self) -> int:
        return self._connections.lake.checkpoints(self._kind).get(self._partition, 0)

    def save(self, offset: int) -> None:
        """Save the state as of `offset`, if a save is due."""
        if self._saving is not None:
            self._saving.look(offset)

    def close(self, offset: int) -> None:
        """Save for the last time; blocks for some seconds at most."""
        if self._saving is not None:
            now_s = time.monotonic()
            ends_s = _stopped_s.setdefault(self._stop, now_s) if self._stop.is_set() else now_s
            self._saving.close(offset, ends_s + CLOSE_S)
            self._saving = None
