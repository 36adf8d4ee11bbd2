"""The query tree -> SQL over a lake table. Every literal goes through one of the quoting functions here.

Semantics are those of `contracts.query`; `lake_text` holds the regular expressions. No expression made here is ever
NULL, so that `NOT` is the plain complement.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import (
    KEYWORD_FIELDS,
    NUMBER_FIELDS,
    TEXT_FIELDS,
    All,
    And,
    Cursor,
    Exists,
    Node,
    Not,
    Or,
    Range,
    RecordQuery,
    Term,
    Wildcard,
)
from contracts.tenants import Tenant
from lakehouse import lake_attributes, lake_text
from lakehouse.lake_literals import text_literal, time_literal
from lakehouse.tables import SCHEMAS

ATTRIBUTE = "attributes."
FALSE, TRUE = "FALSE", "TRUE"

_COMPARE = {(True, True): ">=", (True, False): ">", (False, True): "<=", (False, False): "<"}


def where_sql(node: Node, kind: Kind) -> str:
    """`node` as a boolean SQL expression over the table of `kind`.

    Raises:
        QueryError: A field that the kind does not have, or a value that is no text.
    """
    if isinstance(node, All):
        return TRUE
    if isinstance(node, And):
        return f"({' AND '.join(where_sql(part, kind) for part in node.nodes)})" if node.nodes else TRUE
    if isinstance(node, Or):
        return f"({' OR '.join(where_sql(part, kind) for part in node.nodes)})" if node.nodes else FALSE
    if isinstance(node, Not):
        return f"(NOT {where_sql(node.node, kind)})"
    return _leaf(node, kind)


def _leaf(node: Term | Wildcard | Range | Exists, kind: Kind) -> str:
    field = node.field
    if field.startswith(ATTRIBUTE):
        return lake_attributes.sql(node, field[len(ATTRIBUTE) :])
    if field == "timestamp":
        return _timestamp(node)
    if field not in SCHEMAS[kind.value].names:
        raise QueryError(f'{kind.value} have no field "{field[:80]}"', code="unknown_field")
    if field in TEXT_FIELDS:
        return _text(node)
    if field in NUMBER_FIELDS:
        return _number(node)
    if field in KEYWORD_FIELDS.get(kind, ()):
        return _keyword(node)
    raise QueryError(f'field "{field[:80]}" cannot be searched', code="unknown_field")


def _text(node: Term | Wildcard | Range | Exists) -> str:
    if isinstance(node, Term):
        return _matches(node.field, lake_text.phrase_pattern(node.value))
    if isinstance(node, Wildcard):
        return _matches(node.field, lake_text.token_pattern(node.pattern))
    if isinstance(node, Exists):
        return f"{node.field} <> ''"
    raise QueryError(f'text field "{node.field}" has no ranges', code="bad_value")


def _matches(column: str, pattern: str | None) -> str:
    return FALSE if pattern is None else f"regexp_like({column}, {text_literal(pattern)})"


def _keyword(node: Term | Wildcard | Range | Exists) -> str:
    if isinstance(node, Term):
        return f"{node.field} = {text_literal(node.value)}"
    if isinstance(node, Wildcard):
        return _matches(node.field, lake_text.whole_pattern(node.pattern))
    if isinstance(node, Exists):
        return f"{node.field} <> ''"
    return _between(node, lambda bound: f"{text_literal(str(bound))}", node.field)


def _number(node: Term | Wildcard | Range | Exists) -> str:
    if isinstance(node, Exists):
        return TRUE
    if isinstance(node, Term):
        number = lake_text.number_of(node.value)
        return FALSE if number is None else f"{node.field} = {number!r}"
    if isinstance(node, Wildcard):
        raise QueryError(f'number field "{node.field}" has no wildcards', code="bad_value")
    bounds = [bound for bound in (node.low, node.high) if bound is not None]
    if any(lake_text.number_of(bound) is None for bound in bounds):
        return FALSE
    return _between(node, lambda bound: repr(lake_text.number_of(bound)), node.field)


def _between(node: Range, literal: Callable[[str | int | float], str], column: str) -> str:
    parts = []
    if node.low is not None:
        parts.append(f"{column} {_COMPARE[True, node.include_low]} {literal(node.low)}")
    if node.high is not None:
        parts.append(f"{column} {_COMPARE[False, node.include_high]} {literal(node.high)}")
    return f"({' AND '.join(parts)})" if parts else f"{column} <> ''" if column in _WORDS else TRUE


_WORDS = frozenset().union(*KEYWORD_FIELDS.values())


def _timestamp(node: Term | Wildcard | Range | Exists) -> str:
    if isinstance(node, Exists):
        return TRUE
    if not isinstance(node, Range) or any(isinstance(bound, str) for bound in (node.low, node.high)):
        raise QueryError("timestamp takes a range of integers, nanoseconds", code="bad_value")
    parts = []
    if node.low is not None:  # the column holds whole microseconds
        low = _up(node.low) if node.include_low else _down(node.low) + 1
        parts.append(f"timestamp >= {time_literal(low)}")
    if node.high is not None:
        high = _down(node.high) + 1 if node.include_high else _up(node.high)
        parts.append(f"timestamp < {time_literal(high)}")
    return f"({' AND '.join(parts)})" if parts else TRUE


def _up(ns: str | int | float) -> int:
    return -(-math.ceil(float(ns) if isinstance(ns, float) else int(ns)) // 1000)


def _down(ns: str | int | float) -> int:
    return math.floor(float(ns) if isinstance(ns, float) else int(ns)) // 1000


def time_sql(start_ns: int | None, end_ns: int | None) -> list[str]:
    """Event time from `start_ns` to before `end_ns`, as conditions."""
    conditions = []
    if start_ns is not None:
        conditions.append(f"timestamp >= {time_literal(_up(start_ns))}")
    if end_ns is not None:
        conditions.append(f"timestamp < {time_literal(_up(end_ns))}")
    return conditions


def _after_sql(after: Cursor, newest_first: bool) -> str:
    past = "<" if newest_first else ">"
    time, at = time_literal(after.timestamp_ns // 1000), after.position
    index = f"(bus_offset = {at.offset:d} AND bus_index {past} {at.index:d})"
    offset = f"(bus_partition = {at.partition:d} AND (bus_offset {past} {at.offset:d} OR {index}))"
    tie = f"(timestamp = {time} AND (bus_partition {past} {at.partition:d} OR {offset}))"
    return f"(timestamp {past}= {time} AND (timestamp {past} {time} OR {tie}))"


def records_sql(tenant: Tenant, query: RecordQuery, not_days: Sequence[dt.date], columns: Sequence[str]) -> str:
    """One page of `query` over all arrival days but `not_days`."""
    conditions = [f"tenant = {text_literal(tenant)}", *time_sql(query.start_ns, query.end_ns), *days_sql(not_days)]
    if query.after is not None:
        conditions.append(_after_sql(query.after, query.newest_first))
    conditions.append(where_sql(query.where, query.kind))
    way = "DESC" if query.newest_first else "ASC"
    order = ", ".join(f"{column} {way}" for column in ("timestamp", "bus_partition", "bus_offset", "bus_index"))
    return (
        f"SELECT {', '.join(columns)} FROM {query.kind.value} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {order} LIMIT {query.limit:d}"
    )


def days_sql(not_days: Sequence[dt.date]) -> list[str]:
    dates = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(not_days))
    return [f"day NOT IN ({dates})"] if dates else []
