"""Places: a bus partition and the checkpoints of its stores -> from where a flow reads, also after the bus was lost.

A bus that was lost and made anew is known by its identity. Its messages are counted on from past every place that the
stores know (`lakehouse.lake.numbering`), which is noted in the ledger before the first of them is read: nothing is
copied, nothing is skipped, and a crash at any instant finds either no note, and makes it, or the note. What stood on
the lost bus alone is gone, and is said. Several flows may do this at once: the first note decides.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bus.renumbered import renumbered
from contracts.bus import Bus, Extent
from contracts.errors import ConfigError
from contracts.messages import Kind
from flows.connections import Connections
from lakehouse.lake.numbering import MARGIN, Base

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
    """Of one partition. `rows`: of the lake's table, which a crash may put ahead of the lake's checkpoint."""

    lake: int
    rows: int
    hot: int

    @property
    def start(self) -> int:
        return min(self.lake, self.hot)

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
    known = _checkpoints(connections, kind, extents)
    if any(base.own is None for base in bases.values()):
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
    return Start(seen, identity, found.start, own, found.lost_before(own), found.hot < max(found.lake, found.rows))


def _checkpoints(connections: Connections, kind: Kind, partitions: Mapping[int, Extent]) -> dict[int, _Checkpoints]:
    lake, rows = connections.lake.checkpoints(kind), connections.lake.landed(kind)
    hot = lake if kind is Kind.DEAD_LETTERS else connections.hot.checkpoints(kind)
    return {each: _Checkpoints(lake.get(each, 0), rows.get(each, 0), hot.get(each, 0)) for each in partitions}


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
