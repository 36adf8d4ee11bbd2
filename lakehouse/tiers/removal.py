"""Removal: rows that match -> gone from a table, and counted for good in the same commit.

How many rows of a tenant a table ever lost for which reason is noted in the table itself (app transactions
"gone:<reason>:<tenant>"), by the commit that deletes them: the conservation equation holds at every instant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
from deltalake import QueryBuilder
from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from contracts.tenants import Tenant
from lakehouse.delta import Delta, translated

RETENTION, ERASED = "retention", "erased"
REASONS = (RETENTION, ERASED)
ATTEMPTS = 8

_ANY = "gone:any"


def _name(reason: str, tenant: str) -> str:
    return f"gone:{reason}:{tenant}"


def gone(table: Delta, tenants: Iterable[str]) -> dict[str, dict[str, int]]:
    """Rows that were removed, by tenant and reason, as of this handle's version; what is 0 is left out."""
    if table.noted(_ANY) is None:
        return {}
    found: dict[str, dict[str, int]] = {}
    for tenant in tenants:
        for reason in REASONS:
            if count := table.noted(_name(reason, tenant)):
                found.setdefault(tenant, {})[reason] = count
    return found


def counts(table: Delta, where: str) -> dict[Tenant, int]:
    """Rows of this handle's version that match, by tenant.

    Raises:
        StoreError: They cannot be read.
    """
    with translated(f'lake table "{table.name}" cannot be read'):
        builder = QueryBuilder()
        table.register(builder)
        answer = builder.execute(f"SELECT tenant, count(*) AS n FROM {table.name} WHERE {where} GROUP BY tenant")
        rows = pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()
    return {Tenant(row["tenant"]): row["n"] for row in rows}


def remove(table: Delta, where: str, reason: str, checked: Callable[[], object] = lambda: None) -> Mapping[Tenant, int]:
    """Delete the rows that match and count them under `reason`, in one commit; how many went, by tenant. Idempotent.

    Args:
        where: Made from a validated tree, never a user's text.
        checked: Called on each attempt with the version that would be changed pinned; what it raises ends the removal.

    Raises:
        StoreError: Others changed the same rows all the time, or the table cannot be read or written.
    """
    for attempt in range(ATTEMPTS):
        table.refresh()
        found = counts(table, where)
        if not found:
            return {}
        checked()
        numbers = {_name(reason, tenant): (table.noted(_name(reason, tenant)) or 0) + n for tenant, n in found.items()}
        numbers[_ANY] = (table.noted(_ANY) or 0) + sum(found.values())
        try:
            table.delete(where, numbers)
            return found
        except CommitFailedError:
            time.sleep(min(0.05 * 2**attempt, 1.0))
            table.reopen()
    raise StoreError(
        f'rows of lake table "{table.name}" were changed by others {ATTEMPTS} times in a row',
        hint="the same call may be repeated",
        retry_after_s=5,
    )
