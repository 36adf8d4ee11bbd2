"""Places: a bus partition and the checkpoints of its stores -> from where a flow reads, also after the bus was lost.

A bus that was lost and made anew is known by its identity. Its messages are counted on from past every place that the
stores know (`lakehouse.lake.numbering`), which is noted in the ledger before the first of them is read: nothing is
copied, nothing is skipped, and a crash at any instant finds either no note, and makes it, or the note. What stood on
the lost bus alone is gone, and is said. Several flows may do this at once: the first note decides.

A flow begins where the store that lags stands, and the other one skips what it has; unless they are far apart. Then
the flow begins where the one that is ahead stands, and the one that lags is fed beside it (`flows.write.catching_up`).
A hot store that cannot be asked is fed so too.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bus.renumbered import renumbered
from contracts.bus import Bus, Extent
from contracts.errors import ConfigError, OffsetExpired, StoreError
from contracts.messages import Kind
from flows.connections import Connections
from lakehouse.lake.numbering import MARGIN, Base

FAR_S = 30.0  # between the arrivals of what two stores have come to: one reader would keep search waiting for long
FAR_MESSAGES = 20_000
LOOKS, LOOK_PAUSE_S = 20, 0.05  # at a reader that has not heard of its partition yet

log = logging.getLogger("headwater.flows")


@dataclass(frozen=True, slots=True)
class Start:
    """Where one partition is read from.

    Attributes:
        bus: By places.
        identity: Of the topic that they were counted on.
        offset: The first place to read; what stands between it and `bus`'s first is gone with an earlier bus.
        base: Place of the bus's own offset 0.
        known_lost: Messages that a store had seen on the earlier bus, and the lake has not.
        hot_lacks: Whether the lake has rows of before `base` that the hot store lacks.
    """

    bus: Bus
    identity: str
    offset: int
    base: int = 0
    known_lost: int = 0
    hot_lacks: bool = False


@dataclass(frozen=True, slots=True)
class _Checkpoints:
    """Of one partition. `rows`: of the lake's table, which a crash may put ahead of the lake's checkpoint. `hot` counts
    as `lake` while the hot store cannot be asked."""

    lake: int
    rows: int
    hot: int

    @property
    def start(self) -> int:
        return min(self.lake, self.hot)

    @property
    def ahead(self) -> int:
        return max(self.lake, self.hot)

    @property
    def top(self) -> int:
        return max(self.lake, self.rows, self.hot)

    def lost_before(self, base: int) -> int:
        """Messages that the hot store had and the lake has not, as far as `base` still tells how far it was."""
        lost = base - MARGIN - max(self.lake, self.rows)
        return lost if 0 < lost < MARGIN else 0


def start_of(connections: Connections, kind: Kind, partition: int) -> Start:
    """Look at bus and stores, and note the bus where it is new.

    Raises:
        ConfigError: The bus is an older one than was read last, or lacks what the stores have of it.
        BusError, StoreError: One of them cannot be asked; the same call may be repeated.
    """
    bus = connections.bus
    identity, extents = bus.identity(kind.topic), bus.extents(kind.topic)
    bases = connections.lake.bases(kind, identity, extents)
    is_new = any(base.own is None for base in bases.values())
    known = _checkpoints(connections, kind, extents, with_hot=is_new)
    if is_new:
        wanted = {each: _chosen(bases[each], known[each], extents[each], kind, each) for each in extents}
        bases = connections.lake.note_bases(kind, identity, wanted)
    own, found = bases[partition].own, known[partition]
    if own is None or not bases[partition].holds(found.top):
        raise ConfigError(
            f'topic "{kind.topic}" is one that was replaced by another, and that one was read since',
            hint="put the newer bus back, or start with an empty data directory",
        )
    seen = renumbered(bus, kind.topic, {partition: own})
    _check_end(kind, partition, found.start, own + extents[partition].next_offset)
    if found.lake < own:
        _say(kind, partition, own, found)
    offset = found.start
    if _are_far(seen, kind, partition, max(own, offset), found.ahead):
        offset = found.ahead
    return Start(seen, identity, offset, own, found.lost_before(own), found.hot < max(found.lake, found.rows))


def known_start(connections: Connections, kind: Kind, partition: int) -> Start:
    """The result of the first `start_of` in this process. The base of a bus does not change while it is read, so later
    calls do not ask the lake."""
    if (kind, partition) not in connections.starts:
        connections.starts[kind, partition] = start_of(connections, kind, partition)
    start: Start = connections.starts[kind, partition]
    return start


def _checkpoints(
    connections: Connections, kind: Kind, partitions: Mapping[int, Extent], with_hot: bool
) -> dict[int, _Checkpoints]:
    """`with_hot`: nothing can be said without the hot store."""
    lake, rows = connections.lake.checkpoints(kind), connections.lake.landed(kind)
    connections.landed.setdefault(kind, lake)
    hot = lake
    if kind is not Kind.DEAD_LETTERS:
        try:
            hot = connections.hot.checkpoints(kind)
        except StoreError as error:
            if with_hot:
                raise
            log.warning("%s are read from where the lake stands, as the hot store does not answer: %s", kind, error)
    return {each: _Checkpoints(lake.get(each, 0), rows.get(each, 0), hot.get(each, 0)) for each in partitions}


def _are_far(bus: Bus, kind: Kind, partition: int, start: int, ahead: int) -> bool:
    """True if the store that is `ahead` would wait for long if the flow began at `start`."""
    if ahead <= start:
        return False
    if ahead - start > FAR_MESSAGES:
        return True
    try:
        times = [_appended_ns(bus, kind, partition, offset) for offset in (start, ahead - 1)]
    except OffsetExpired:
        return True
    return times[1] - times[0] > FAR_S * 1e9


def _appended_ns(bus: Bus, kind: Kind, partition: int, offset: int) -> int:
    """When the bus stored the message at `offset`, or the next one; 0 where that cannot be seen at once."""
    with contextlib.closing(bus.reader(kind.topic, partition, offset)) as reader:
        for _ in range(LOOKS):
            if messages := reader.headers(1):
                return messages[0].appended_ns
            time.sleep(LOOK_PAUSE_S)
    return 0


def _chosen(base: Base, known: _Checkpoints, extent: Extent, kind: Kind, partition: int) -> int:
    """The first bus that is noted begins at 0, if it can be the one that filled the stores."""
    if base.newest is not None:
        return base.past(known.top)
    _check_end(kind, partition, known.top, extent.next_offset)
    return 0


def _check_end(kind: Kind, partition: int, stores: int, end: int) -> None:
    if stores > end:
        raise ConfigError(
            f'stores hold "{kind.topic}" partition {partition} up to offset {stores}, and the bus that they were '
            f"filled from ends at {end}: it was cut, or this is an older copy of it",
            hint="put the newest copy back; if there is none, see docs/deploy.md on a lost bus",
        )


def _say(kind: Kind, partition: int, base: int, known: _Checkpoints) -> None:
    log.warning(
        "bus of %s/%d is another one than the stores were filled from, which had come to offset %d: its messages are "
        "counted from %d on, and all of them are read; what was acknowledged and stood on the lost bus alone is gone",
        kind.topic,
        partition,
        known.top,
        base,
    )
