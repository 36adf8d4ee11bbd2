"""The conservation equation: lake ledger, stored rows and bus messages that the lake lacks -> one account per kind.

    received = visible + duplicates + dead_lettered + dropped (by reason) + in_flight

The account reads the lake's checkpoints and ledger first, the bus second. A message that arrives in between is ahead
of the checkpoints and counts as both received and in flight, so arriving data never causes a difference. The account
is taken again if the lake commits in between, or if retention removes messages that were to be counted.

Messages before the checkpoints are counted on the bus while the bus still holds them (see `query_api.bus_counts`):
`received` is then the number that the API accepted. Otherwise it is the number that the flows have read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from contracts.answers import LedgerTotal
from contracts.bus import Bus
from contracts.errors import OffsetExpired, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.tenants import Tenant
from query_api.bus_counts import Behind, Lag, ahead
from query_api.places import by_places

if TYPE_CHECKING:
    from lakehouse.lake.store import Lake

TRIES = 8
PAUSE_S = 0.15
_NOBODY = Tenant("")
_DEFAULT = Tenant("default")


@dataclass(frozen=True, slots=True)
class Account:
    """Of one tenant and kind; every count is of records, except `lost`.

    Attributes:
        received: Records that the API accepted (those in the ledger and those in flight) plus imported records.
        visible: Rows of the Delta table, counted.
        duplicates: Repeats that were recognised.
        dead_lettered: Sent to the dead letters by the flows, whether already stored there or not.
        dropped: Left out by policy, by reason.
        in_flight: On the bus, ahead of the lake.
        lost: Bus messages that expired before any flow read them; their tenant is unknown.
        difference: 0 when every record is accounted for; above 0 records are missing, below 0 doubled.
        lag: By store ("hot", "lake"); a hot store that does not answer is left out.
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


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The stores that an account reads, and the tenant of messages without headers.

    Attributes:
        hot: If given, the account also reports its lag.
        behind: Kept between accounts, so that each message is counted once.
    """

    bus: Bus
    lake: Lake
    hot: HotStore | None = None
    foreign_tenant: Tenant = _DEFAULT
    behind: Behind = field(default_factory=Behind)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Ledger and bus counts of one kind, read at the same checkpoints."""

    stores: Sequence[str]
    totals: Mapping[Tenant, LedgerTotal]
    ahead: Mapping[Tenant, Mapping[str, Lag]]
    behind: Mapping[Tenant, int | None] | None


def account(
    bus: Bus, lake: Lake, tenant: Tenant | None, hot: HotStore | None = None, foreign_tenant: Tenant = _DEFAULT
) -> Sequence[Account]:
    """Take the account of `tenant`, or of every tenant (None), once. Blocks; see `take`."""
    return take(Ledgers(bus, lake, hot, foreign_tenant), tenant)


def take(ledgers: Ledgers, tenant: Tenant | None) -> Sequence[Account]:
    """The account of `tenant`, every kind of it, or of every tenant (None).

    Raises:
        StoreError: The lake cannot be read, or commits faster than it can be read.
        BusError: The bus cannot be read.
    """
    found: Sequence[Account] | None = None
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S)
        taken = _taken(ledgers, tenant)
        found = taken if taken is not None else found
        # Report only a difference that stays: data that moved during the read causes one that the next try lacks.
        if taken is not None and not any(entry.difference for entry in taken):
            return taken
    if found is None:
        raise StoreError("no account: the lake committed during every try", hint="ask again", retry_after_s=2)
    return found


def _taken(ledgers: Ledgers, tenant: Tenant | None) -> Sequence[Account] | None:
    before = _checkpoints(ledgers.lake)
    totals = _ledger(ledgers.lake, tenant)
    if _checkpoints(ledgers.lake) != before:
        return None
    try:
        counts = {kind: _counts(ledgers, kind, before[kind], totals.get(kind, {})) for kind in Kind}
    except OffsetExpired:
        return None
    everybody = {whose for found in counts.values() for whose in (*found.totals, *found.ahead)}
    tenants = everybody - {_NOBODY} if tenant is None else {tenant}
    return [entry for whose in sorted(tenants) for entry in _of_tenant(whose, counts)]


def _checkpoints(lake: Lake) -> Checkpoints:
    return {kind: dict(lake.checkpoints(kind)) for kind in Kind}


def _ledger(lake: Lake, tenant: Tenant | None) -> dict[Kind, dict[Tenant, LedgerTotal]]:
    totals: dict[Kind, dict[Tenant, LedgerTotal]] = {}
    for whose in (None,) if tenant is None else (tenant, _NOBODY):
        for total in lake.ledger(whose):
            totals.setdefault(total.kind, {})[total.tenant] = total
    return totals


def _counts(ledgers: Ledgers, kind: Kind, landed: Mapping[int, int], totals: Mapping[Tenant, LedgerTotal]) -> _Counts:
    stores = {"lake": landed}
    if ledgers.hot is not None and kind is not Kind.DEAD_LETTERS:
        with contextlib.suppress(StoreError):  # one that is away has no part in the equation
            stores["hot"] = ledgers.hot.checkpoints(kind)
    bus = by_places(ledgers.bus, ledgers.lake, kind, list(stores.values()))
    behind = ledgers.behind.received(bus, kind, landed, ledgers.foreign_tenant)
    return _Counts(tuple(stores), totals, ahead(bus, kind, stores, ledgers.foreign_tenant), behind)


def _of_tenant(tenant: Tenant, counts: Mapping[Kind, _Counts]) -> list[Account]:
    entries = [_entry(tenant, kind, counts[kind]) for kind in Kind if kind is not Kind.DEAD_LETTERS]
    letters = _entry(tenant, Kind.DEAD_LETTERS, counts[Kind.DEAD_LETTERS])
    # Each dead letter that a flow reported to the ledger must be stored, in flight or removed.
    told = sum(entry.dead_lettered for entry in entries)
    missing = max(0, told - letters.visible - letters.in_flight - sum(letters.dropped.values()))
    return [*entries, replace(letters, difference=letters.difference + missing)]


def _entry(tenant: Tenant, kind: Kind, counts: _Counts) -> Account:
    total = counts.totals.get(tenant) or LedgerTotal(tenant, kind, 0, 0, 0, 0)
    nobody = counts.totals.get(_NOBODY)
    lags = counts.ahead.get(tenant) or {store: Lag() for store in counts.stores}
    in_flight = lags["lake"].records
    accepted = None if counts.behind is None else counts.behind.get(tenant, 0)
    read = total.imported + (total.received if accepted is None else accepted)
    accounted = total.stored + total.duplicates + total.dead_lettered + sum(total.dropped.values())
    return Account(
        tenant=tenant,
        kind=kind,
        received=read + in_flight,
        visible=total.stored,
        duplicates=total.duplicates,
        dead_lettered=total.dead_lettered,
        dropped=dict(total.dropped),
        in_flight=in_flight,
        lost=total.lost + (nobody.lost if nobody else 0),
        difference=read - accounted,
        lag=dict(lags),
    )
