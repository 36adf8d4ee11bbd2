"""Notes: rows removed from a table or imported into it -> numbers that the same commit notes in the table.

"gone:<reason>:<tenant>" is the number of removed rows, "gone:day:<day>" counts the same rows by arrival day, and
"imported:<tenant>" is the number of imported rows. All count from the creation of the table. As the numbers change in
the commit of the rows, the conservation equation holds at every instant.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from contracts.messages import ERASED
from contracts.tenants import Tenant
from lakehouse.delta.table import Delta

RETENTION = "retention"
REASONS = (RETENTION, ERASED)

_ANY_GONE, _ANY_IMPORTED = "gone:any", "imported:any"


def gone(table: Delta, tenants: Iterable[str]) -> dict[str, dict[str, int]]:
    """Removed rows by tenant and reason in this handle's version, without zeros."""
    if table.noted(_ANY_GONE) is None:
        return {}
    found: dict[str, dict[str, int]] = {}
    for tenant in tenants:
        for reason in REASONS:
            if count := table.noted(_gone(reason, tenant)):
                found.setdefault(tenant, {})[reason] = count
    return found


def gone_of_day(table: Delta, day: dt.date) -> int:
    """Removed rows of an arrival day in this handle's version, of all tenants and for all reasons."""
    return table.noted(_gone_day(day)) or 0


def with_gone(table: Delta, reason: str, counts: Mapping[Tenant, int], days: Mapping[dt.date, int]) -> dict[str, int]:
    """Numbers for a commit that removes `counts` rows by tenant, which are `days` rows by day."""
    by_day = {name: (table.noted(name) or 0) + count for name, count in ((_gone_day(d), n) for d, n in days.items())}
    return by_day | _with(table, {_gone(reason, tenant): count for tenant, count in counts.items()}, _ANY_GONE)


def imported(table: Delta, tenants: Iterable[str]) -> dict[str, int]:
    """Imported rows by tenant in this handle's version, without zeros."""
    if table.noted(_ANY_IMPORTED) is None:
        return {}
    counts = {tenant: table.noted(_imported(tenant)) or 0 for tenant in tenants}
    return {tenant: count for tenant, count in counts.items() if count}


def with_imported(table: Delta, counts: Mapping[Tenant, int]) -> dict[str, int]:
    """Numbers for a commit that imports `counts` rows by tenant."""
    return _with(table, {_imported(tenant): count for tenant, count in counts.items()}, _ANY_IMPORTED)


def _gone(reason: str, tenant: str) -> str:
    return f"gone:{reason}:{tenant}"


def _gone_day(day: dt.date) -> str:
    return f"gone:day:{day.isoformat()}"


def _imported(tenant: str) -> str:
    return f"imported:{tenant}"


def _with(table: Delta, counts: Mapping[str, int], total: str) -> dict[str, int]:
    added = {**counts, total: sum(counts.values())}
    return {name: (table.noted(name) or 0) + count for name, count in added.items()}
