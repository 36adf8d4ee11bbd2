"""The query tree -> a query of the hot index for the blocks that may hold a row that matches.

A block is left out only when none of its rows can match: what the index cannot tell is every block (a negation, an
absent or empty value). `hot_match` decides by row. No text of a user is ever parsed here.
"""

from __future__ import annotations

import math

from tantivy import Query

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
    Range,
    Term,
    Wildcard,
)
from lakehouse.hot.tantivy import regex as hot_regex
from lakehouse.hot.tantivy.clause import all_of, any_of, overlapping
from lakehouse.hot.tantivy.schema import LONGEST_TOKEN_BYTES, schema, tokens
from lakehouse.hot.tantivy.terms import (
    BARE,
    ESCAPES,
    EXACT,
    MARKED,
    NUMBER,
    TEXT,
    as_double,
    cut,
    escaped,
    name_of,
    number_term,
    sortable_bits,
)
from lakehouse.match import NUMBERS, TEXTS, Leaf, double_of

_PREFIX = "attributes."
_DEEPEST = 200  # far above what the parser lets through; the engine recurses
_ANY_ESCAPED = f"(?:[{ESCAPES}]{hot_regex.ANY}|[^{ESCAPES}])"  # one character as `hot_terms` writes it
_NOT_EMPTY = hot_regex.ANY + hot_regex.REST
_SEVERITIES = 24
_LONGEST_BOUND = 64  # each character is one more expression to compile, about 1 ms


def build(node: Node, kind: Kind, depth: int = 0) -> Query:
    """`node` as a query for blocks of `kind`.

    Raises:
        QueryError: A field that the kind does not have, or a condition that its field cannot have.
    """
    if depth > _DEEPEST:
        raise QueryError(f"the query is nested deeper than {_DEEPEST}", code="too_deep")
    match node:
        case All():
            return Query.all_query()
        case And(nodes):
            return all_of(build(inner, kind, depth + 1) for inner in nodes)
        case Or(nodes):
            return any_of(build(inner, kind, depth + 1) for inner in nodes)
        case Not(inner):
            build(inner, kind, depth + 1)  # refuses what cannot be asked
            return Query.all_query()
    return _leaf(node, kind)


def _leaf(node: Leaf, kind: Kind) -> Query:
    field = node.field
    if field.startswith(_PREFIX):
        return _attribute(node, name_of(field.removeprefix(_PREFIX)))
    if field == "timestamp":
        return _timestamp(node)
    if field in KEYWORD_FIELDS[kind]:
        return _keyword(node)
    if field in TEXTS[kind]:
        return _text(node)
    if field in NUMBERS[kind]:
        return _number(node)
    raise QueryError(f'{kind.value} have no field "{field[:80]}"', code="unknown_field")


def _exactly(*terms: str) -> Query:
    return any_of(Query.term_query(schema(), "terms", term) for term in terms)


def _regex(field: str, pattern: str) -> Query:
    try:
        return Query.regex_query(schema(), field, pattern)
    except ValueError as error:
        raise QueryError("a wildcard or range is too long or too complex: shorten it", code="bad_value") from error


def _wildcard(pattern: str) -> str:
    return hot_regex.wildcard(pattern, _ANY_ESCAPED, escaped)


def _attribute(node: Leaf, name: str) -> Query:
    head = hot_regex.literal(name)
    match node:
        case Term(_, value):
            text = escaped(cut(value))
            return _exactly(f"{name}{TEXT}{text}", f"{name}{BARE}{text}")
        case Wildcard(_, pattern):
            return _regex("terms", f"{head}[{TEXT}{BARE}]{_wildcard(pattern)}")
        case Exists():
            return _regex("terms", f"{head}[{TEXT}{BARE}]{_NOT_EMPTY}")
        case Range(_, low, high):
            bounds = [bound for bound in (low, high) if bound is not None]
            if bounds and not any(isinstance(bound, str) for bound in bounds):
                return _numbers_between(node, head)
            return _texts_between(node, f"{head}{TEXT}")


def _numbers_between(node: Range, head: str) -> Query:
    """Integers by their text, all other numbers by the bits of their double."""
    low, high = (None if bound is None else as_double(_number_of(bound)) for bound in (node.low, node.high))
    first, last = 0, (1 << 64) - 1
    if low is not None:
        first = sortable_bits(low) + (not node.include_low)
    if high is not None:
        last = sortable_bits(high) - (not node.include_high)
    if first > last:
        return Query.empty_query()
    patterns = [NUMBER + hot_regex.hex_between(first, last)]
    smallest, largest = _rounded_up(_near(low), node.include_low), _rounded_down(_near(high), node.include_high)
    smallest = None if smallest is None else max(smallest, -EXACT)  # what is open may take larger ones as well
    largest = None if largest is None else min(largest, EXACT)
    if (-EXACT if smallest is None else smallest) <= (EXACT if largest is None else largest):
        patterns.append(BARE + hot_regex.integers_between(smallest, largest))
    return _regex("terms", f"{head}(?:{'|'.join(patterns)})")


def _near(number: float | None) -> float | None:
    """`number`, or something on the same side of all exact integers."""
    return None if number is None else max(-EXACT - 1.0, min(EXACT + 1.0, number))


def _number_of(bound: str | int | float) -> int | float:
    assert not isinstance(bound, str)
    return bound


def _texts_between(node: Range, head: str) -> Query:
    parts = []
    if node.low is not None:
        patterns = hot_regex.above(_bound(node.low), node.include_low)
        parts.append(any_of(_regex("terms", head + pattern) for pattern in patterns))
    if node.high is not None:
        patterns = hot_regex.below(_bound(node.high), node.include_high)
        parts.append(any_of(_regex("terms", head + pattern) for pattern in patterns))
    return all_of(parts) if parts else _regex("terms", head + hot_regex.REST)


def _bound(bound: str | int | float) -> str:
    text = escaped(str(bound))
    if len(text) > _LONGEST_BOUND:
        raise QueryError(f"a bound of a range has at most {_LONGEST_BOUND} characters: shorten it", code="bad_value")
    return text


def _keyword(node: Leaf) -> Query:
    head = f"{node.field}{TEXT}"
    pattern = hot_regex.literal(head)
    match node:
        case Term(_, value):
            return _exactly(f"{head}{escaped(cut(value))}") if value else Query.all_query()
        case Wildcard(_, wanted):
            if not wanted.strip("*"):
                return Query.all_query()
            return _regex("terms", pattern + _wildcard(wanted))
        case Range(_, low, high) if low is not None or high is not None:
            between = _texts_between(node, pattern)
            return Query.all_query() if _takes_empty(node) else between
        case _:
            return _present(node.field, pattern)


def _present(field: str, pattern: str) -> Query:
    return _exactly(field) if field in MARKED else _regex("terms", pattern + _NOT_EMPTY)


def _takes_empty(node: Range) -> bool:
    """Whether the empty text is in a range of texts."""
    from_start = node.low is None or (node.low == "" and node.include_low)
    return from_start and (node.high is None or node.high != "" or node.include_high)


def _text(node: Leaf) -> Query:
    match node:
        case Term(_, value):
            return _words(tokens(value))
        case Wildcard(_, pattern):
            return _regex("words", hot_regex.wildcard(pattern, hot_regex.ANY, str.lower))
        case Exists():
            return Query.all_query()
        case Range(field):
            raise QueryError(f'text field "{field}" has no ranges', code="bad_value")


def _words(wanted: list[str]) -> Query:
    if not wanted or any(len(word.encode()) > LONGEST_TOKEN_BYTES for word in wanted):
        return Query.empty_query()
    return all_of(Query.term_query(schema(), "words", word) for word in set(wanted))


def _number(node: Leaf) -> Query:
    match node:
        case Wildcard(field):
            raise QueryError(f'number field "{field}" has no wildcards', code="bad_value")
        case Term(field, value):
            node = Range(field, value, value)
        case Exists():
            return Query.all_query()
    low, high = (None if bound is None else double_of(bound) for bound in (node.low, node.high))
    if node.field != "severity_number" or (low is None) != (node.low is None) or (high is None) != (node.high is None):
        return Query.all_query()
    smallest, largest = _rounded_up(low, node.include_low), _rounded_down(high, node.include_high)
    known = range(max(smallest or 0, 0), min(_SEVERITIES if largest is None else largest, _SEVERITIES) + 1)
    return _exactly(*(number_term(node.field, number) for number in known))


def _rounded_up(low: int | float | None, inclusive: bool) -> int | None:
    """The smallest integer that is in a range from `low`."""
    return low if low is None else math.ceil(low) if inclusive else math.floor(low) + 1


def _rounded_down(high: int | float | None, inclusive: bool) -> int | None:
    return high if high is None else math.floor(high) if inclusive else math.ceil(high) - 1


def _timestamp(node: Leaf) -> Query:
    if isinstance(node, Exists):
        return Query.all_query()
    if not isinstance(node, Range) or isinstance(node.low, str) or isinstance(node.high, str):
        raise QueryError("timestamp takes a range of integers, nanoseconds", code="bad_value")
    low, high = _rounded_up(node.low, node.include_low), _rounded_down(node.high, node.include_high)
    return overlapping(low, high)
