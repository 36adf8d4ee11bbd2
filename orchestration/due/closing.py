"""Closing: clock, lake and bus -> the last closed arrival day, for which no more records can come.

A day is closed if three conditions hold: the day is over by the clock; all accepted records of the day are in the lake;
and the days in the lake do not contradict the clock. If the clock jumped back, fewer days are closed. If the clock
jumped ahead, the newest day with records stays open, as only the day that follows it closes a day.
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

# A request stamped before midnight may reach the bus after requests stamped later, and clocks of machines differ.
GRACE_NS = 300 * 10**9
ONE_DAY = dt.timedelta(days=1)


def closed_through(care: Care, bus: Bus, kind: Kind) -> dt.date | None:
    """The last closed day of `kind`; all earlier days are closed too. None: no day is known to be closed.

    Raises:
        BusError, StoreError: Bus or lake cannot be read now.
    """
    newest = _newest(care, kind)
    if newest is None:
        return None
    believed = newest if care.today() <= newest + ONE_DAY else newest - ONE_DAY
    opened_ns = [care.now_ns(), *(each.received_ns for each in backlogs(care, bus, kind) if each.received_ns)]
    return min(believed, *(arrival_day(max(0, each - GRACE_NS)) - ONE_DAY for each in opened_ns))


def closed_kinds(care: Care, bus: Bus) -> Mapping[Kind, dt.date]:
    """`closed_through` by kind, without kinds that have no closed day."""
    found = {kind: closed_through(care, bus, kind) for kind in Kind}
    return {kind: day for kind, day in found.items() if day is not None}


def _newest(care: Care, kind: Kind) -> dt.date | None:
    """The newest day with records of any kind; the ledger has an account of every commit."""
    days = (file["partition.day"] for name in (LEDGER, kind.value) for file in care.table(name).files())
    return max(days, default=None)
