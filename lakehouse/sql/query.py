"""Conditions of a query -> SQL over a lake table. Every literal goes through one of the quoting functions here.

No expression made here is ever NULL, so that `NOT` is the plain complement. Where SQL cannot be sure of a row, its
answer is `possible`, and `match` decides by the row itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from contracts.messages import Kind
from contracts.query import Cursor, Node, RecordQuery
from contracts.tenants import Tenant
from lakehouse.conditions import (
    ATTRIBUTES,
    TIMESTAMP,
    AddressRange,
    Always,
    Clause,
    Equal,
    Leaf,
    Like,
    NumberRange,
    Phrase,
    Present,
    TextRange,
    WordLike,
    Writer,
    compiled,
)
from lakehouse.sql import attributes, text
from lakehouse.sql.literals import FALSE, TRUE, between, day_literal, double_bounds, text_literal, time_literal
from text.addresses import Span, dotted

SURE = "sure"  # a column of a page: whether the row matches surely


def where_sql(node: Node, kind: Kind) -> Clause[str]:
    """`node` as boolean SQL expressions over the table of `kind`.

    Raises:
        QueryError: See `conditions.compiled`.
    """
    return WRITER.write(compiled(node, kind))


def written_leaf(leaf: Leaf) -> Clause[str]:
    """A leaf as boolean SQL."""
    if leaf.field == ATTRIBUTES and not isinstance(leaf.condition, Always):
        return attributes.written(leaf.condition, leaf.key)
    match leaf.condition:
        case Always():
            return Clause(TRUE)
        case Present():
            return Clause(f"{leaf.field} <> ''")
        case Equal(value, _, span):
            same = f"{leaf.field} = {text_literal(value)}"
            return Clause(same) if span is None else _any_of([Clause(same), _addresses(leaf.field, span)])
        case Like(pattern):
            return Clause(text.matches(leaf.field, text.whole_pattern(pattern)))
        case TextRange(low, high, with_low, with_high):
            return Clause(between(leaf.field, low, high, with_low, with_high))
        case NumberRange():
            return Clause(_time(leaf.condition) if leaf.field == TIMESTAMP else _number(leaf.field, leaf.condition))
        case AddressRange(span):
            return _addresses(leaf.field, span)
        case Phrase(words):
            letters = [text.letters_pattern(word) for word in words]
            return _words(leaf.field, text.phrase_pattern(words), letters)
        case WordLike(pattern):
            return _words(leaf.field, text.word_like_pattern(pattern), text.letters_of(pattern))
    return Clause(FALSE)


def _all(parts: Sequence[str]) -> str:
    return f"({' AND '.join(parts)})" if parts else TRUE


def _any(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if parts else FALSE


def _any_of(clauses: Sequence[Clause[str]]) -> Clause[str]:
    return Clause(_any([clause.sure for clause in clauses]), _any([clause.upper for clause in clauses]))


# The engine plans nested NOTs in exponential time.
WRITER = Writer(written_leaf, _all, _any, lambda sql: f"({sql} IS NOT TRUE)")


def _words(column: str, plain: str | None, letters: Sequence[str]) -> Clause[str]:
    """Exact for plain texts; an odd text is a possible match if it has the letters."""
    odd, has = text.odd(column), [text.matches(column, pattern) for pattern in letters]
    exactly = FALSE if plain is None else text.matches(column, plain)
    return Clause(f"({exactly} AND NOT {odd})", _all([*has, f"({exactly} OR {odd})"]))


def _addresses(column: str, span: Span) -> Clause[str]:
    colons = f"strpos({column}, ':') > 0"
    if span.version == 6:
        return Clause(FALSE, colons)
    parts = dotted(span)
    inside = text.matches(column, f"^(?:{'|'.join(parts)})$") if parts else FALSE
    return Clause(inside, f"({inside} OR {colons})")


def _number(column: str, wanted: NumberRange) -> str:
    """Exact for a column of doubles or of integers that a double holds exactly."""
    return _all(double_bounds(column, wanted, surely=True))


def _time(wanted: NumberRange) -> str:
    low, high = wanted.integers()
    return _all(time_sql(low, None if high is None else high + 1))


def time_sql(start_ns: int | None, end_ns: int | None) -> list[str]:
    """Conditions on event time: `start_ns` inclusive, `end_ns` exclusive; None is open."""
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
    """SELECT of one page of possible matches of `query`; the column `SURE` marks sure matches.

    Args:
        not_days: Arrival days that are left out.
        table: Name of the table in SQL; "" is the table of the kind.
        which: A further condition on rows.
    """
    conditions = [which] if which != TRUE else []
    conditions += [f"tenant = {text_literal(tenant)}", *time_sql(query.start_ns, query.end_ns), *days_sql(not_days)]
    if query.after is not None:
        conditions.append(_after_sql(query.after, query.newest_first))
    clause = where_sql(query.where, query.kind)
    conditions.append(clause.upper)
    sure = TRUE if clause.possible is None else clause.sure
    shown = ", ".join(columns)
    way = "DESC" if query.newest_first else "ASC"
    order = ", ".join(f"{column} {way}" for column in ("timestamp", "bus_partition", "bus_offset", "bus_index"))
    page = (
        f"SELECT {shown} FROM {table or query.kind.value} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {order} LIMIT {query.limit:d}"
    )
    return f"SELECT {shown}, {sure} AS {SURE} FROM ({page}) AS page ORDER BY {order}"  # only the page's rows are tested


def days_sql(not_days: Sequence[dt.date]) -> list[str]:
    dates = ", ".join(day_literal(day) for day in sorted(not_days))
    return [f"day NOT IN ({dates})"] if dates else []
