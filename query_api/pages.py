"""One page of records: parameters -> RecordQuery -> the answer that logs and events share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from contracts.messages import Kind
from contracts.query import DEFAULT_TIERS, RecordQuery, Tier
from contracts.tenants import Tenant
from query_api.backend import Backend, asking, json_answer, tiers_shown
from query_api.cursors import read_cursor, write_cursor
from query_api.filters import time_range, where
from query_api.parameters import Order
from web.problems import Problem

DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What was asked, as text. `values` are filters on whole keyword values."""

    kind: Kind
    q: str
    start: str | None
    end: str | None
    values: Mapping[str, Sequence[str]]
    levels: Sequence[str]
    limit: int
    cursor: str
    order: Order
    tiers: frozenset[Tier] = DEFAULT_TIERS

    def binding(self, tenant: Tenant) -> tuple[Any, ...]:
        """Everything that must not change between the pages of one answer; the limit may."""
        where = (self.q, self.start, self.end, dict(self.values), self.levels)
        return (tenant, self.kind, self.order, *where, sorted(self.tiers))


def page(stores: Backend, tenant: Tenant, asked: PageRequest) -> Response:
    """Answer with one page.

    Raises:
        Problem: 400 for what cannot be read, 503 or 504 for what the stores cannot do.
    """
    most = stores.settings.query_rows
    if asked.limit > most:
        tell = f"limit is above {most}: ask for at most that and follow next_cursor"
        raise Problem(400, "limit_too_large", tell, parameter="limit")
    after, now_ns = None, stores.clock()
    if asked.cursor:
        after, now_ns = read_cursor(asked.cursor, asked.binding(tenant))
    start_ns, end_ns = time_range(asked.start, asked.end, now_ns)
    node = where(asked.kind, asked.q, asked.values, asked.levels, now_ns, stores.settings)
    newest_first = asked.order is Order.DESC
    query = RecordQuery(asked.kind, node, start_ns, end_ns, asked.limit, after, newest_first)
    with asking(stores) as took_ms:
        found = stores.search.records(tenant, query, asked.tiers)
    return json_answer(
        {
            "records": [record.fields for record in found.records],
            "next_cursor": found.next and write_cursor(found.next, now_ns, asked.binding(tenant)),
            "partial": found.partial,
            "tiers": tiers_shown(found.tiers),
            "took_ms": took_ms(),
        }
    )
