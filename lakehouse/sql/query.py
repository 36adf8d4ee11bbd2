"""The query tree -> SQL over a lake table. Every literal goes through one of the quoting functions here.

Semantics are those of `contracts.query`; `lake_text` holds the regular expressions. No expression made here is ever
NULL, so that `NOT` is the plain complement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

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
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.sql import attributes as lake_attributes
from lakehouse.sql import text as lake_text
from lakehouse.sql.literals import between, day_literal, double_literal, text_literal, time_literal

ATTRIBUTE = "attributes."
FALSE, TRUE = "FALSE", "TRUE"

Leaf = Term | Wildcard | Range | Exists


def where_sql(node: Node, kind: Kind) -> str:
    """`node` as a boolean SQL expression over the table of `kind`.

    Raises:
        QueryError: An unknown field, a question its type has no answer to, or a value that is no text.
    """
    if isinstance(node, All):
        return TRUE
    if isinstance(node, And):
        return f"({' AND '.join(where_sql(part, kind) for part in node.nodes)})" if node.nodes else TRUE
    if isinstance(node, Or):
        return f"({' OR '.join(where_sql(part, kind) for part in node.nodes)})" if node.nodes else FALSE
    if isinstance(node, Not):
        return f"({where_sql(node.node, kind)} IS NOT TRUE)"  # the engine plans nested NOTs in exponential time
    return _leaf(node, kind)


def _leaf(node: Leaf, kind: Kind) -> str:
    field = node.field
    if field.startswith(ATTRIBUTE):
        return lake_attributes.sql(node, field[len(ATTRIBUTE) :])
    if field == "timestamp":
        return _timestamp(node)
    if field in SCHEMAS[kind.value].names:
        if field in TEXT_FIELDS:
            return _text(node)
        if field in NUMBER_FIELDS:
            return _number(node)
        if field in KEYWORD_FIELDS.get(kind, ()):
            return _keyword(node)
    raise QueryError(f'{kind.value} have no field "{field[:80]}"', code="unknown_field")


def _text(node: Leaf) -> str:
    match node:
        case Term(field, value):
            return _matches(field, lake_text.phrase_pattern(value))
        case Wildcard(field, pattern):
            return _matches(field, lake_text.token_pattern(pattern))
        case Exists(field):
            return f"{field} <> ''"
        case Range(field):
            raise QueryError(f'text field "{field}" has no ranges', code="bad_value")


def _matches(column: str, pattern: str | None) -> str:
    return FALSE if pattern is None else f"regexp_like({column}, {text_literal(pattern)})"


def _keyword(node: Leaf) -> str:
    match node:
        case Term(field, value):
            return f"{field} = {text_literal(value)}"
        case Wildcard(field, pattern):
            return _matches(field, lake_text.whole_pattern(pattern))
        case Exists(field) | Range(field, None, None):
            return f"{field} <> ''"
        case Range(field):
            return between(node, field, lambda bound: text_literal(str(bound)))


def _number(node: Leaf) -> str:
    match node:
        case Term(field, value):
            number = lake_text.number_of(value)
            return FALSE if number is None else f"{field} = {double_literal(number)}"
        case Wildcard(field):
            raise QueryError(f'number field "{field}" has no wildcards', code="bad_value")
        case Exists():
            return TRUE
        case Range(field, low, high):
            if any(bound is not None and lake_text.number_of(bound) is None for bound in (low, high)):
                return FALSE
            return between(node, field, lambda bound: double_literal(lake_text.number_of(bound) or 0.0))


def _timestamp(node: Leaf) -> str:
    match node:
        case Exists():
            return TRUE
        case Range(_, int() | None as low, int() | None as high):
            start = None if low is None else low + (not node.include_low)
            end = None if high is None else high + node.include_high
            return f"({' AND '.join(time_sql(start, end) or [TRUE])})"
    raise QueryError("timestamp takes a range of integers, nanoseconds", code="bad_value")


def time_sql(start_ns: int | None, end_ns: int | None) -> list[str]:
    """Event time from `start_ns` to before `end_ns`, as conditions."""
    conditions = []
    if start_ns is not None:
        conditions.append(f"timestamp >= {time_literal(_microseconds(start_ns))}")
    if end_ns is not None:
        conditions.append(f"timestamp < {time_literal(_microseconds(end_ns))}")
    return conditions


def _microseconds(ns: int) -> int:
    return -(-ns // 1000)  # upwards: the column holds whole microseconds


def _after_sql(after: Cursor, newest_first: bool) -> str:
    past = "<" if newest_first else ">"
    time, at = time_literal(after.timestamp_ns // 1000), after.position
    index = f"(bus_offset = {at.offset:d} AND bus_index {past} {at.index:d})"
    offset = f"(bus_partition = {at.partition:d} AND (bus_offset {past} {at.offset:d} OR {index}))"
    tie = f"(timestamp = {time} AND (bus_partition {past} {at.partition:d} OR {offset}))"
    return f"(timestamp {past}= {time} AND (timestamp {past} {time} OR {tie}))"


def records_sql(
    tenant: Tenant,
    query: RecordQuery,
    not_days: Sequence[dt.date],
    columns: Sequence[str],
    table: str = "",
    which: str = TRUE,
) -> str:
    """One page of `query` over all arrival days but `not_days`, of `table` ("" is the kind's own), of rows `which`."""
    conditions = [which] if which != TRUE else []
    conditions += [f"tenant = {text_literal(tenant)}", *time_sql(query.start_ns, query.end_ns), *days_sql(not_days)]
    if query.after is not None:
        conditions.append(_after_sql(query.after, query.newest_first))
    conditions.append(where_sql(query.where, query.kind))
    way = "DESC" if query.newest_first else "ASC"
    order = ", ".join(f"{column} {way}" for column in ("timestamp", "bus_partition", "bus_offset", "bus_index"))
    return (
        f"SELECT {', '.join(columns)} FROM {table or query.kind.value} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {order} LIMIT {query.limit:d}"
    )


def days_sql(not_days: Sequence[dt.date]) -> list[str]:
    dates = ", ".join(day_literal(day) for day in sorted(not_days))
    return [f"day NOT IN ({dates})"] if dates else []
