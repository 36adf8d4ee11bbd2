"""Answers of reads: pages, series, service summaries, and the ledger behind the conservation equation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import Cursor
from contracts.tenants import Tenant


@dataclass(frozen=True, slots=True)
class TierUse:
    """The part of one tier in an answer.

    Attributes:
        rows: Rows of the answer from this tier.
        days: Arrival days that the query asks of this tier; () where days do not apply.
        took_ms: Wall time.
        error: Reason why the tier gave nothing although the query needed it, or "".
        skipped: True if the caller left the tier out although it may hold records of `days`.
    """

    rows: int = 0
    days: tuple[dt.date, ...] = ()
    took_ms: float = 0.0
    error: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is None on the last page; `partial` is true when a needed tier did not answer (see its `error`)."""

    records: Sequence[Found]
    next: Cursor | None
    partial: bool
    tiers: Mapping[str, TierUse]  # by `contracts.query.Tier`


@dataclass(frozen=True, slots=True)
class Series:
    """Points are (start of the step in epoch milliseconds, value), ascending; a step without points is left out.

    A value is None when no number holds it.
    """

    labels: Mapping[str, str]
    points: Sequence[tuple[int, float | None]]


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """`resolution`: "raw", or the coarsest rollup that was read ("1m", "1h"). `approximate`: values are within 1 %.
    `overflowed`: how many values are None.
    """

    series: Sequence[Series]
    partial: bool
    tiers: Mapping[str, TierUse]
    resolution: str = "raw"
    approximate: bool = False
    overflowed: int = 0


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """One (service, env) with logs in the time range. `error_rate` is the share with severity_number >= 17, 0 to 1."""

    name: str
    env: str
    hosts: tuple[str, ...]
    last_seen_ns: int
    logs: int
    errors: int
    logs_per_s: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class ServicesAnswer:
    services: Sequence[ServiceSummary]
    partial: bool
    tiers: Mapping[str, TierUse]


@dataclass(frozen=True, slots=True)
class LedgerTotal:
    """Counts of one tenant and kind, summed over the ledger of the flows.

    The flows count `received == landed + duplicates + dead_lettered + sum(dropped.values())`. `stored` is an
    independent count of the rows in the Delta tables of lake and archive. `dropped` includes rows that were later
    removed from these tables ("retention", "erased"). `lost` counts bus offsets that expired unread. `imported` counts
    rows that an import wrote to the table directly; the flows count none of them.
    """

    tenant: Tenant
    kind: Kind
    received: int
    landed: int
    duplicates: int
    dead_lettered: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    stored: int = 0
    imported: int = 0
