"""The query tree -> OpenSearch's query language. No text of a user is ever parsed by the engine.

Each node becomes a `Clause`: what matches surely, and what matches possibly. They differ only where a value is too
long for a term of the index (`hot_opensearch_terms.LONGEST`): such a record is then looked at itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import (
    KEYWORD_FIELDS,
    All,
    And,
    Exists,
    Node,
    Not,
    Or,
    Position,
    Range,
    Term,
    Wildcard,
)
from lakehouse.hot.opensearch.document import pack
from lakehouse.hot.opensearch.terms import (
    BARE,
    END,
    LONG,
    LONG_BARE,
    LONG_TEXT,
    LONGEST,
    NUMBER,
    TEXT,
    long_term,
    name_of,
)
from lakehouse.hot.opensearch.words import LONGEST_TOKEN_BYTES, indexed, lowered, tokens
from lakehouse.hot.tantivy.terms import as_double, number_text
from lakehouse.match import NUMBERS, TEXTS, Leaf

Query = dict[str, Any]

ATTRIBUTE = "attributes."
NOTHING: Query = {"match_none": {}}
EVERYTHING: Query = {"match_all": {}}
_LONGEST_BOUND = 128  # characters
_DEEPEST = 200  # far above what the parser lets through
_INT64, _BYTE = range(-(1 << 63), 1 << 63), range(-128, 128)


@dataclass(frozen=True, slots=True)
class Clause:
    """`possible` None: exactly what is sure."""

    sure: Query
    possible: Query | None = None

    @property
    def upper(self) -> Query:
        return self.sure if self.possible is None else self.possible


def all_of(queries: Sequence[Query]) -> Query:
    return {"bool": {"filter": list(queries)}} if queries else EVERYTHING


def any_of(queries: Sequence[Query]) -> Query:
    return {"bool": {"should": list(queries), "minimum_should_match": 1}} if queries else NOTHING


def none_of(query: Query) -> Query:
    return {"bool": {"must_not": [query]}}


def build(node: Node, kind: Kind, depth: int = 0) -> Clause:
    """`node` over the indexes of `kind`.

    Raises:
        QueryError: A field that the kind does not have, or a condition that its field cannot have.
    """
    if depth > _DEEPEST:
        raise QueryError(f"the query is nested deeper than {_DEEPEST}", code="too_deep")
    match node:
        case All():
            return Clause(EVERYTHING)
        case And(nodes):
            return _joined(all_of, [build(inner, kind, depth + 1) for inner in nodes])
        case Or(nodes):
            return _joined(any_of, [build(inner, kind, depth + 1) for inner in nodes])
        case Not(inner):
            clause = build(inner, kind, depth + 1)
            return Clause(none_of(clause.upper), None if clause.possible is None else none_of(clause.sure))
    return _leaf(node, kind)


def _joined(join: Callable[[Sequence[Query]], Query], clauses: Sequence[Clause]) -> Clause:
    sure = join([clause.sure for clause in clauses])
    if all(clause.possible is None for clause in clauses):
        return Clause(sure)
    return Clause(sure, join([clause.upper for clause in clauses]))


def _leaf(node: Leaf, kind: Kind) -> Clause:
    field = node.field
    if field.startswith(ATTRIBUTE):
        return _attribute(node, name_of(field.removeprefix(ATTRIBUTE)))
    if field == "timestamp":
        return Clause(_timestamp(node))
    if field in KEYWORD_FIELDS[kind]:
        return _keyword(node)
    if field in TEXTS[kind]:
        return Clause(_text(node))
    if field in NUMBERS[kind]:
        return Clause(_number(node))
    raise QueryError(f'{kind.value} have no field "{field[:80]}"', code="unknown_field")


def _between(field: str, **bounds: Any) -> Query:
    return {"range": {field: bounds}}


def _beginning(head: str) -> Query:
    """There is a term that begins with `head`."""
    return _between("terms", gte=head, lt=_after(head))


def _after(head: str) -> str:
    """The first text past all that begin with `head`; "" when there is none."""
    for place in range(len(head) - 1, -1, -1):
        code = ord(head[place]) + 1
        if code <= 0x10FFFF:
            return head[:place] + chr(0xE000 if code == 0xD800 else code)  # surrogates are no characters
    return ""


def _attribute(node: Leaf, name: str) -> Clause:
    match node:
        case Term(_, value):
            if len(value) > LONGEST:
                return Clause({"terms": {"terms": [long_term(name, value, kind) for kind in (LONG_TEXT, LONG_BARE)]}})
            return Clause({"terms": {"terms": [f"{name}{TEXT}{value}", f"{name}{BARE}{value}"]}})
        case Wildcard(_, "*"):
            return Clause(_between("terms", gte=name + TEXT, lt=name + END))
        case Wildcard(_, pattern):
            matching = any_of([_like("terms", name + kind, pattern) for kind in (TEXT, BARE)])
            return Clause(matching, any_of([matching, _beginning(name + LONG)]))
        case Exists():
            return Clause(_between("terms", gt=name + TEXT, lt=name + END))
        case Range(_, low, high):
            bounds = [bound for bound in (low, high) if bound is not None]
            if bounds and not any(isinstance(bound, str) for bound in bounds):
                return _within(node, "terms", name + NUMBER, name + LONG, number_text)
            texts = _within(node, "terms", name + TEXT, name + BARE)
            return Clause(texts.sure, any_of([texts.upper, _beginning(name + LONG_TEXT)]))


def _within(node: Range, field: str, head: str, end: str, written: Callable[[Any], str] = str) -> Clause:
    """Terms between the bounds of `node`, `head` before each; `end` is past all that begin so, "" is open."""
    sure: Query = {"gte": head, "lt": end} if end else {}
    possible = dict(sure)
    if node.low is not None:
        inner, outer = _bound(head, written(node.low), "gte" if node.include_low else "gt", is_low=True)
        sure, possible = _without(sure, "gte") | inner, _without(possible, "gte") | outer
    if node.high is not None:
        inner, outer = _bound(head, written(node.high), "lte" if node.include_high else "lt", is_low=False)
        sure, possible = _without(sure, "lt") | inner, _without(possible, "lt") | outer
    return Clause(_between(field, **sure), None if possible == sure else _between(field, **possible))


def _bound(head: str, text: str, name: str, is_low: bool) -> tuple[Query, Query]:
    """A bound as what is surely inside, and what is possibly: the engine takes bounds of up to a thousand bytes, and of
    a longer one, what begins like it is not sure."""
    if len(text) <= _LONGEST_BOUND:
        return {name: head + text}, {name: head + text}
    begins = head + text[:_LONGEST_BOUND]
    if is_low:
        return {"gte": _after(begins)}, {"gte": begins}
    return {"lt": begins}, {"lt": _after(begins)}


def _without(bounds: Query, name: str) -> Query:
    return {key: value for key, value in bounds.items() if key != name}


def _keyword(node: Leaf) -> Clause:
    field = node.field
    present = any_of([{"exists": {"field": field}}, _beginning(field + LONG)])
    match node:
        case Term(_, value):
            if not value:
                return Clause(none_of(present))
            if len(value) > LONGEST:
                return Clause({"term": {"terms": long_term(field, value)}})
            return Clause({"term": {field: value}})
        case Wildcard(_, pattern):
            if not pattern.strip("*"):
                return Clause(EVERYTHING if pattern else none_of(present))
            matching = _like(field, "", pattern)
            return Clause(matching, any_of([matching, _beginning(field + LONG)]))
        case Range(_, low, high) if low is not None or high is not None:
            between = _within(node, field, "", "")
            empty = [none_of(present)] if _takes_empty(node) else []
            return Clause(any_of([between.sure, *empty]), any_of([between.upper, *empty, _beginning(field + LONG)]))
        case _:
            return Clause(present)


def _takes_empty(node: Range) -> bool:
    """Whether the empty text is in a range of texts."""
    from_start = node.low is None or (node.low == "" and node.include_low)
    return from_start and (node.high is None or node.high != "" or node.include_high)


_SPECIAL = re.compile(r"[*?\\]")


def _like(field: str, head: str, pattern: str, written: Callable[[str], str] = str) -> Query:
    """`head` as it is, then `pattern`; `written` is how a part without wildcards stands in the index."""
    parts = []
    for wild, plain in re.findall(r"([*?])|((?:\\.|[^*?\\]|\\$)+)", pattern, re.DOTALL):
        text = re.sub(r"\\(.)", r"\1", plain, flags=re.DOTALL)
        parts.append(wild or _SPECIAL.sub(r"\\\g<0>", written(text)))
    value = _SPECIAL.sub(r"\\\g<0>", head) + "".join(parts)
    return {"wildcard": {field: {"value": value}}}


def _text(node: Leaf) -> Query:
    match node:
        case Term(field, value):
            words = tokens(value)
            if not words or any(len(word.encode()) > LONGEST_TOKEN_BYTES for word in words):
                return NOTHING
            if len(words) == 1:
                return {"term": {field: indexed(words[0])}}
            phrase = " ".join(map(indexed, words))
            return {"match_phrase": {field: {"query": phrase, "analyzer": "headwater_spaced"}}}
        case Wildcard(field, pattern):
            return _like(field, "", pattern, lambda text: indexed(lowered(text)))
        case Exists(field):
            return {"exists": {"field": field}}
        case Range(field):
            raise QueryError(f'text field "{field}" has no ranges', code="bad_value")


def number_in(value: str | int | float) -> float | None:
    """`value` as a double, or None when it is no number."""
    try:
        number = as_double(value) if not isinstance(value, str) else float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _number(node: Leaf) -> Query:
    match node:
        case Term(field, value):
            number = number_in(value)
            return NOTHING if number is None else _doubles(Range(field, number, number))
        case Wildcard(field):
            raise QueryError(f'number field "{field}" has no wildcards', code="bad_value")
        case Exists():
            return EVERYTHING
        case Range():
            return _doubles(node)


def _doubles(node: Range) -> Query:
    """A range over a number field; a bound that is no number matches nothing."""
    low, high = (None if bound is None else number_in(bound) for bound in (node.low, node.high))
    if (low is None) != (node.low is None) or (high is None) != (node.high is None):
        return NOTHING
    if low == math.inf or high == -math.inf:  # no number is infinite
        return NOTHING
    low, high = (None if bound is None or math.isinf(bound) else bound for bound in (low, high))
    if node.field == "severity_number":
        return _whole(node.field, *_rounded(low, high, node), _BYTE)
    bounds = {}
    if low is not None:  # to the engine -0.0 is less than 0.0
        bounds["gte" if node.include_low else "gt"] = (-0.0 if node.include_low else 0.0) if low == 0 else low
    if high is not None:
        bounds["lte" if node.include_high else "lt"] = (0.0 if node.include_high else -0.0) if high == 0 else high
    if low is not None and high is not None and low > high:
        return NOTHING
    return _between(node.field, **bounds) if bounds else EVERYTHING


def _rounded(low: int | float | None, high: int | float | None, node: Range) -> tuple[int | None, int | None]:
    """The whole numbers between, both included."""
    first = low if low is None else math.ceil(low) if node.include_low else math.floor(low) + 1
    last = high if high is None else math.floor(high) if node.include_high else math.ceil(high) - 1
    return first, last


def _whole(field: str, low: int | None, high: int | None, holds: range = _INT64) -> Query:
    bounds = {}
    if (low is not None and low >= holds.stop) or (high is not None and high < holds.start):
        return NOTHING
    if low is not None and high is not None and low > high:
        return NOTHING
    if low is not None and low > holds.start:
        bounds["gte"] = low
    if high is not None and high < holds.stop - 1:
        bounds["lte"] = high
    return _between(field, **bounds) if bounds else EVERYTHING


def _timestamp(node: Leaf) -> Query:
    if isinstance(node, Exists):
        return EVERYTHING
    if not isinstance(node, Range) or isinstance(node.low, str) or isinstance(node.high, str):
        raise QueryError("timestamp takes a range of integers, nanoseconds", code="bad_value")
    return _whole("timestamp_ns", *_rounded(node.low, node.high, node))


def time_range(start_ns: int | None, end_ns: int | None) -> Query:
    """Event time, `end_ns` exclusive."""
    return _whole("timestamp_ns", start_ns, None if end_ns is None else end_ns - 1)


def past(after: Mapping[int, int]) -> Query:
    """Positions at or past the next-offsets of their partitions; partitions that are not named, from 0."""
    before = [
        _between("position", gte=pack(Position(each, 0, 0)), lt=pack(Position(each, offset, 0)))
        for each, offset in after.items()
        if offset
    ]
    return {"bool": {"must_not": before}} if before else EVERYTHING
