"""The conservation equation: lake ledger, stored rows and what lies ahead of the lake on the bus -> one account a kind.

    received = visible + duplicates + dead_lettered + dropped (by reason) + in_flight

The lake is the cut: its checkpoints and ledger are read first, the bus after them. What arrives meanwhile is ahead of
the checkpoints and counts as received and in flight alike, so that flowing data never looks like a difference. When
the lake commits in between, or retention takes what was to be counted, the account is taken again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from contracts.answers import LedgerTotal
from contracts.bus import Bus
from contracts.errors import OffsetExpired, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind, Message, from_headers
from contracts.tenants import Tenant

if TYPE_CHECKING:
    from lakehouse.lake import Lake

TRIES = 8
PAUSE_S = 0.15
_SCAN = 1000
_NOBODY = Tenant("")
_DEFAULT = Tenant("default")


@dataclass(slots=True)
class Lag:
    """Accepted messages of the tenant that a store has not taken yet, and the records in them."""

    messages: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """Of one tenant and kind; every count is of records, except `lost`.

    Attributes:
        received: Accepted by the API: what the ledger has, and what is in flight.
        visible: Rows of the Delta table, counted.
        duplicates: Repeats that were recognised.
        dead_lettered: Sent to the dead letters by the flows, landed there or not.
        dropped: Left out by policy, by reason.
        in_flight: On the bus, ahead of the lake.
        lost: Bus messages that expired before any flow read them; nobody knows whose they were.
        difference: What is unaccounted for: 0 when all is well; above 0 records are missing, below 0 doubled.
        lag: By store ("hot", "lake").
    """

    tenant: Tenant
    kind: Kind
    received: int = 0
    visible: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0
    lost: int = 0
    difference: int = 0
    lag: Mapping[str, Lag] = field(default_factory=dict)


Checkpoints = dict[Kind, dict[int, int]]
Ahead = Mapping[Kind, Mapping[Tenant, Mapping[str, Lag]]]


def account(
    bus: Bus, lake: Lake, tenant: Tenant | None, hot: HotStore | None = None, foreign_tenant: Tenant = _DEFAULT
) -> Sequence[Account]:
    """Take the account of `tenant`, or of every tenant (None). Blocks; about one pass over what is ahead of the lake.

    Args:
        hot: When given, its lag is told too.
        foreign_tenant: Whose the messages without headers are; each counts as one record.

    Raises:
        StoreError: The lake cannot be read, or commits faster than it can be read.
        BusError: The bus cannot be read.
    """
    found: Sequence[Account] | None = None
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S)
        taken = _taken(bus, lake, tenant, hot, foreign_tenant)
        found = taken if taken is not None else found
        # Rows land just before their ledger entry: a difference that is gone at the next look was only that.
        if taken is not None and not any(entry.difference for entry in taken):
            return taken
    if found is None:
        raise StoreError("the lake changes faster than it can be accounted for", hint="ask again", retry_after_s=2)
    return found


def _taken(
    bus: Bus, lake: Lake, tenant: Tenant | None, hot: HotStore | None, foreign: Tenant
) -> Sequence[Account] | None:
    before = _checkpoints(lake)
    totals = _ledger(lake, tenant)
    if _checkpoints(lake) != before:
        return None
    stores = {"lake": before}
    if hot is not None:
        stores["hot"] = {kind: dict(hot.checkpoints(kind)) for kind in Kind if kind is not Kind.DEAD_LETTERS}
    try:
        ahead = {kind: _ahead(bus, kind, stores, foreign) for kind in Kind}
    except OffsetExpired:
        return None
    tenants = (
        {tenant} if tenant is not None else {whose for whose, _ in totals} | {t for k in ahead.values() for t in k}
    )
    return [entry for whose in sorted(tenants - {_NOBODY}) for entry in _of_tenant(whose, totals, ahead)]


def _checkpoints(lake: Lake) -> Checkpoints:
    return {kind: dict(lake.checkpoints(kind)) for kind in Kind}


def _ledger(lake: Lake, tenant: Tenant | None) -> dict[tuple[Tenant, Kind], LedgerTotal]:
    totals = list(lake.ledger(tenant))
    if tenant is not None:
        totals += lake.ledger(_NOBODY)
    return {(total.tenant, total.kind): total for total in totals}


def _of_tenant(tenant: Tenant, totals: Mapping[tuple[Tenant, Kind], LedgerTotal], ahead: Ahead) -> list[Account]:
    entries = []
    told = 0
    for kind in Kind:
        nobody = totals.get((_NOBODY, kind))
        total = totals.get((tenant, kind)) or LedgerTotal(tenant, kind, 0, 0, 0, 0)
        entry = _entry(total, ahead[kind].get(tenant, {}), nobody.lost if nobody else 0)
        if kind is Kind.DEAD_LETTERS:
            # Each dead letter that a flow has told the ledger of must be here, landed or on its way.
            missing = max(0, told - entry.visible - entry.in_flight)
            entry = _with_difference(entry, missing)
        told += total.dead_lettered
        entries.append(entry)
    return entries


def _entry(total: LedgerTotal, lags: Mapping[str, Lag], lost: int) -> Account:
    in_flight = lags["lake"].records if "lake" in lags else 0
    accounted = total.stored + total.duplicates + total.dead_lettered + sum(total.dropped.values())
    return Account(
        tenant=total.tenant,
        kind=total.kind,
        received=total.received + in_flight,
        visible=total.stored,
        duplicates=total.duplicates,
        dead_lettered=total.dead_lettered,
        dropped=dict(total.dropped),
        in_flight=in_flight,
        lost=total.lost + lost,
        difference=total.received - accounted,
        lag=dict(lags),
    )


def _with_difference(entry: Account, missing: int) -> Account:
    return replace(entry, difference=entry.difference + missing)


def _ahead(bus: Bus, kind: Kind, stores: Mapping[str, Checkpoints], foreign: Tenant) -> dict[Tenant, dict[str, Lag]]:
    """What each store that holds `kind` has not taken yet, by tenant."""
    checkpoints = {store: found[kind] for store, found in stores.items() if kind in found}
    lags: dict[Tenant, dict[str, Lag]] = defaultdict(lambda: {store: Lag() for store in checkpoints})
    for partition, extent in bus.extents(kind.topic).items():
        start = {store: found.get(partition, 0) for store, found in checkpoints.items()}
        first = max(min(start.values()), extent.first_offset)
        for message in _headers(bus, kind.topic, partition, first, extent.next_offset):
            tenant, records = _counted(message, foreign)
            for store, offset in start.items():
                if message.offset >= offset:
                    lags[tenant][store].messages += 1
                    lags[tenant][store].records += records
    return lags


def _headers(bus: Bus, topic: str, partition: int, first: int, end: int) -> Iterator[Message]:
    if first >= end:
        return
    reader = bus.reader(topic, partition, first)
    try:
        while messages := reader.headers(_SCAN):
            yield from (message for message in messages if message.offset < end)
            if messages[-1].offset >= end - 1:
                return
    finally:
        reader.close()


def _counted(message: Message, foreign: Tenant) -> tuple[Tenant, int]:
    try:
        header = from_headers(message.headers)
    except (ValueError, msgspec.MsgspecError):
        header = None
    if header is None:
        return foreign, 1
    return header.tenant, header.count if header.count >= 0 else 1
