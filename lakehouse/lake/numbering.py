"""Places on the bus: which bus they were counted on, noted in the ledger -> the base of each partition.

Rows, checkpoints and cursors go by place: (partition, place), where place = base + the bus's own offset. The base is 0
until a bus is lost and made anew. Its offsets begin at 0 again; to count them on would give new messages the places of
old rows. So the new bus, known by its identity, gets a base of its own, past every place that was ever given.

Notes of the ledger, as app transactions: "<kind>:bus:<identity>:<partition>" = base of that bus, and
"<kind>:base:<partition>" = the highest base. They are written in one commit, before the first message of that bus
is read, and never change; of several writers the first one decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.messages import Kind
from lakehouse.delta.races import retried
from lakehouse.delta.table import Delta

# A store may hold rows a little past its checkpoint: what one commit that did not end had sent. Far more than that.
MARGIN = 1 << 20


@dataclass(frozen=True, slots=True)
class Base:
    """Of one partition.

    Attributes:
        own: Base of the bus that was asked for; None when it was never read.
        newest: Base of the bus that was read last; None when no bus was noted yet.
    """

    own: int | None
    newest: int | None

    def holds(self, top: int) -> bool:
        """Whether this bus goes on at its own base, when all places before `top` were given: none of them on a later
        bus."""
        return self.own is not None and (self.newest is None or self.newest <= self.own or top < self.newest)

    def past(self, top: int) -> int:
        """A base for another bus."""
        return max(top, self.newest or 0) + MARGIN


def _own(kind: Kind, identity: str, partition: int) -> str:
    return f"{kind.value}:bus:{identity}:{partition}"


def _newest(kind: Kind, partition: int) -> str:
    return f"{kind.value}:base:{partition}"


def base_in(ledger: Delta, kind: Kind, identity: str, partition: int) -> Base:
    """What this version of the ledger says."""
    return Base(ledger.noted(_own(kind, identity, partition)), ledger.noted(_newest(kind, partition)))


def note_bases(ledger: Delta, kind: Kind, identity: str, bases: Mapping[int, int]) -> Mapping[int, Base]:
    """Note `bases` (by partition) where the bus has none yet; what holds then. Durable on return.

    Raises:
        StoreError: The ledger cannot be written; the same call may be repeated.
    """

    def noted() -> Mapping[int, Base]:
        ledger.refresh()
        found = {partition: base_in(ledger, kind, identity, partition) for partition in bases}
        missing = [partition for partition, base in found.items() if base.own is None]
        if not missing:
            return found
        newest = {partition: max(bases[partition], found[partition].newest or 0) for partition in missing}
        ledger.note(
            {_own(kind, identity, partition): bases[partition] for partition in missing}
            | {_newest(kind, partition): number for partition, number in newest.items()}
        )
        return found | {partition: Base(bases[partition], newest[partition]) for partition in missing}

    return retried(ledger, noted, hint="see that one flow runs")
