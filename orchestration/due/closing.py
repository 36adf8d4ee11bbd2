"""Closing: clock, lake and bus -> the last arrival day of which nothing can come any more.

A day is closed when three agree: the clock says that it is over; whatever of it was accepted is in the lake; and the
days of the records themselves do not speak against the clock. A clock that jumped back closes fewer days. One that
jumped ahead is not believed: the newest day with records is closed by the day that follows it, not by a later one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from contracts.batches import arrival_day
from contracts.bus import Bus
from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER
from lakehouse.upkeep.care import Care
from orchestration.due.backlog import backlogs

# A request that was stamped before midnight may reach the bus after others that were stamped after it, and the clocks
# of several machines differ.
GRACE_NS = 300 * 10**9
ONE_DAY = dt.timedelta(days=1)


def closed_through(care: Care, bus: Bus, kind: Kind) -> dt.date | None:
    """The last day of `kind` that is closed, and with it all before; None when none is known to be.

    Raises:
        BusError, StoreError: One of them cannot be asked now.
    """
    newest = _newest(care, kind)
    if newest is None:
        return None
    believed = newest if care.today() <= newest + ONE_DAY else newest - ONE_DAY
    opened_ns = [care.now_ns(), *(each.received_ns for each in backlogs(care, bus, kind) if each.received_ns)]
    return min(believed, *(arrival_day(max(0, each - GRACE_NS)) - ONE_DAY for each in opened_ns))


def closed_kinds(care: Care, bus: Bus) -> Mapping[Kind, dt.date]:
    """`closed_through` of every kind that has one."""
    found = {kind: closed_through(care, bus, kind) for kind in Kind}
    return {kind: day for kind, day in found.items() if day is not None}


def _newest(care: Care, kind: Kind) -> dt.date | None:
    """The newest day with records of any kind: the ledger has one of each commit."""
    days = (file["partition.day"] for name in (LEDGER, kind.value) for file in care.table(name).files())
    return max(days, default=None)
