"""Parts of a query of the hot index: clauses joined, the tenant, ranges of integers."""

from __future__ import annotations

from collections.abc import Iterable

from tantivy import FieldType, Occur, Query

from contracts.tenants import Tenant
from lakehouse.hot.tantivy.schema import schema
from lakehouse.hot.tantivy.terms import tenant_term

_INT64 = range(-(1 << 63), 1 << 63)


def all_of(queries: Iterable[Query]) -> Query:
    clauses = [(Occur.Must, query) for query in queries]
    return Query.boolean_query(clauses) if clauses else Query.all_query()


def any_of(queries: Iterable[Query]) -> Query:
    clauses = [(Occur.Should, query) for query in queries]
    return Query.boolean_query(clauses) if clauses else Query.empty_query()


def tenant_query(tenant: Tenant) -> Query:
    return Query.term_query(schema(), "terms", tenant_term(tenant))


def integers(field: str, low: int | None, high: int | None, kind: FieldType = FieldType.Integer) -> Query:
    """Values from `low` to `high`, both included; None is open. Bounds must fit the field."""
    if low is None and high is None:
        return Query.all_query()
    if low is not None and high is not None and low > high:
        return Query.empty_query()
    return Query.range_query(schema(), field, kind, low, high)


def overlapping(first_ns: int | None, last_ns: int | None) -> Query:
    """Blocks that may hold an event time from `first_ns` to `last_ns`, both included; None is open."""
    if first_ns is not None and last_ns is not None and first_ns > last_ns:
        return Query.empty_query()
    if (first_ns is not None and first_ns >= _INT64.stop) or (last_ns is not None and last_ns < _INT64.start):
        return Query.empty_query()
    first_ns = None if first_ns is None or first_ns < _INT64.start else first_ns
    last_ns = None if last_ns is None or last_ns >= _INT64.stop else last_ns
    return all_of([integers("last_ns", first_ns, None), integers("first_ns", None, last_ns)])


def time_query(start_ns: int | None, end_ns: int | None) -> Query:
    """Event time, `end_ns` exclusive."""
    return overlapping(start_ns, None if end_ns is None else end_ns - 1)
