"""Removal: rows that match -> gone from a table, and counted for good in the same commit.

How many rows of a tenant went for which reason is noted in the table by the commit that deletes them (see
`lakehouse.delta.notes`).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.tenants import Tenant
from lakehouse.delta.notes import with_gone
from lakehouse.delta.races import retried
from lakehouse.delta.table import Delta, translated


def counts(table: Delta, where: str) -> dict[Tenant, int]:
    """Rows of this handle's version that match, by tenant.

    Raises:
        StoreError: They cannot be read.
    """
    found: dict[Tenant, int] = {}
    for (tenant, _), count in _counts(table, where).items():
        found[tenant] = found.get(tenant, 0) + count
    return found


def _counts(table: Delta, where: str) -> dict[tuple[Tenant, dt.date], int]:
    with translated(f'lake table "{table.name}" cannot be read'):
        builder = QueryBuilder()
        table.register(builder)
        answer = builder.execute(f"SELECT tenant, day, count(*) AS n FROM {table.name} WHERE {where} GROUP BY 1, 2")
        rows = pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()
    return {(Tenant(row["tenant"]), row["day"]): row["n"] for row in rows}


def remove(
    table: Delta, where: str, reason: str, checked: Callable[[], object] = lambda: None, noted: str = ""
) -> Mapping[Tenant, int]:
    """Delete the rows that match and count them under `reason`, in one commit; how many went, by tenant. Idempotent.

    Args:
        where: Made from a validated tree, never a user's text.
        noted: A further name under which the same commit adds up what went.
        checked: Called on each attempt with the version that would be changed pinned; what it raises ends the removal.

    Raises:
        StoreError: Others changed the same rows all the time, or the table cannot be read or written.
    """

    def removed() -> Mapping[Tenant, int]:
        table.refresh()
        matching = _counts(table, where)
        if not matching:
            return {}
        checked()
        found, days = Counter[Tenant](), Counter[dt.date]()
        for (tenant, day), count in matching.items():
            found[tenant] += count
            days[day] += count
        numbers = with_gone(table, reason, found, days)
        if noted:
            numbers[noted] = (table.noted(noted) or 0) + sum(found.values())
        table.delete(where, numbers)
        return dict(found)

    return retried(table, removed)
