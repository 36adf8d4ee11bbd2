"""Services: the logs of a time range -> one summary per (service, env). The range is of event time, as everywhere."""

from __future__ import annotations

from collections.abc import Collection

from contracts.answers import ServicesAnswer, ServiceSummary
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import DEFAULT_TIERS, All
from contracts.tenants import Tenant
from lakehouse.lake.store import Lake
from lakehouse.read.tail import Ask, ask

ERROR_SEVERITY = 17
_COLUMNS = ("service", "env", "host", "timestamp", "severity_number")


def answer(
    hot: HotStore | None,
    lake: Lake,
    tenant: Tenant,
    start_ns: int,
    end_ns: int,
    tiers: Collection[str] = DEFAULT_TIERS,
) -> ServicesAnswer:
    """Sorted by (name, env); logs without a service name are left out.

    Raises:
        StoreError: No tier could answer.
    """

    def sql(records: str) -> str:
        return (
            f"SELECT service, env, count(*) AS n, CAST(max(timestamp) AS BIGINT) AS last_us, "
            f"count(*) FILTER (WHERE severity_number >= {ERROR_SEVERITY}) AS errors, array_agg(DISTINCT host) AS hosts "
            f"FROM ({records}) GROUP BY service, env ORDER BY service, env"
        )

    found = ask(hot, lake, Ask(tenant, Kind.LOGS, All(), start_ns, end_ns, tiers), _COLUMNS, sql)
    seconds = max((end_ns - start_ns) / 1e9, 1e-9)
    summaries = [
        ServiceSummary(
            name=row["service"],
            env=row["env"],
            hosts=tuple(sorted(host for host in row["hosts"] if host)),
            last_seen_ns=row["last_us"] * 1000,
            logs=row["n"],
            errors=row["errors"],
            logs_per_s=row["n"] / seconds,
            error_rate=row["errors"] / row["n"],
        )
        for row in found.rows
        if row["service"]
    ]
    return ServicesAnswer(summaries, found.partial, found.tiers)
