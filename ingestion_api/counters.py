"""Counters of ingestion: Prometheus series by kind, and by tenant up to a limit of tenants."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Enum, Histogram

from contracts.messages import Kind
from contracts.tenants import Tenant

_MAX_TENANTS = 200
STATES = ["closed", "open", "half-open"]  # of the breaker, named as its library does


class Counters:
    """Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "headwater_ingest_records",
            "Records by outcome: accepted, rejected, duplicate.",
            ["kind", "tenant", "outcome"],
            registry=registry,
        )
        self._rejects = Counter("headwater_ingest_rejects", "Rejected records by code.", ["code"], registry=registry)
        self._rewritten = Counter(
            "headwater_ingest_rewritten_fields",
            "Fields of accepted records that were renamed, moved or changed: alias, unknown_field, value_as_text, "
            "body_from_record, name_taken (dropped, as an attribute has this name).",
            ["kind", "reason"],
            registry=registry,
        )
        self._bytes = Counter("headwater_ingest_bytes", "Bytes of bodies.", ["kind", "form"], registry=registry)
        self.append_seconds = Histogram(
            "headwater_ingest_append_seconds", "Time until a batch is durable on the bus.", registry=registry
        )
        self.failed_appends = Counter(
            "headwater_ingest_append_failures",
            "Appends that the bus did not confirm: full, outcome_unknown, unavailable.",
            ["reason"],
            registry=registry,
        )
        self.refused_appends = Counter(
            "headwater_ingest_breaker_refusals", "Requests refused while the breaker was open.", registry=registry
        )
        self.breaker_state = Enum(
            "headwater_ingest_breaker", "State of the breaker of a topic.", ["topic"], states=STATES, registry=registry
        )
        self.breaker_changes = Counter(
            "headwater_ingest_breaker_changes",
            "Changes of a breaker, by its new state.",
            ["to", "topic"],
            registry=registry,
        )
        self._tenants: set[Tenant] = set()

    def records(self, kind: Kind, tenant: Tenant, outcome: str, count: int) -> None:
        if count:
            self._records.labels(kind.value, self._label(tenant), outcome).inc(count)

    def rejects(self, code: str) -> None:
        self._rejects.labels(code).inc()

    def rewritten(self, kind: Kind, reasons: Mapping[str, int]) -> None:
        for reason, count in reasons.items():
            self._rewritten.labels(kind.value, reason).inc(count)

    def size(self, kind: Kind, wire: int, plain: int) -> None:
        self._bytes.labels(kind.value, "wire").inc(wire)
        self._bytes.labels(kind.value, "plain").inc(plain)

    def _label(self, tenant: Tenant) -> str:
        """The tenant; after the first 200 tenants "other", to limit the number of series."""
        if tenant not in self._tenants and len(self._tenants) < _MAX_TENANTS:
            self._tenants.add(tenant)
        return tenant if tenant in self._tenants else "other"
