"""Removal: rows that match a predicate -> deleted from a table, and counted in the same commit.

The commit notes the number of deleted rows by tenant and reason (see `lakehouse.delta.notes`).
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
    """Number of matching rows in this handle's version, by tenant.

    Raises:
        StoreError: The table cannot be read.
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
    """Delete the matching rows, count them under `reason` in the same commit, and return their number by tenant.

    Idempotent.

    Args:
        where: Predicate from a validated tree, never a user's text.
        noted: Another name under which the same commit adds the number.
        checked: Called in each attempt, after the version to change was pinned; its exception ends the removal.

    Raises:
        StoreError: The table cannot be read or written, or others changed the same rows during every attempt.
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
