"""Bus and lake -> the bus with the stores' numbering (`lakehouse.lake.numbering`), and topics that were replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bus.renumbered import renumbered
from contracts.bus import Bus
from contracts.messages import Kind

if TYPE_CHECKING:
    from lakehouse.lake.store import Lake


def by_places(bus: Bus, lake: Lake, kind: Kind, checkpoints: Sequence[Mapping[int, int]]) -> Bus:
    """The bus with offsets of `kind` that can be compared with `checkpoints`, which are those of all stores.

    All messages of a bus that was made anew, and that no flow has read yet, are after the checkpoints.
    """
    bases = {}
    for partition, base in lake.bases(kind, bus.identity(kind.topic), bus.extents(kind.topic)).items():
        top = max(done.get(partition, 0) for done in checkpoints)
        unread = 0 if base.newest is None else top
        bases[partition] = unread if base.own is None else base.own
    return renumbered(bus, kind.topic, bases)


def replaced(bus: Bus, lake: Lake) -> Sequence[Kind]:
    """Kinds whose topic was lost and made anew, and has not been read by a flow since.

    Raises:
        BusError, StoreError: One of them cannot be asked.
    """
    found = []
    for kind in Kind:
        bases = lake.bases(kind, bus.identity(kind.topic), bus.extents(kind.topic)).values()
        if any(base.own is None and base.newest is not None for base in bases):
            found.append(kind)
    return found
