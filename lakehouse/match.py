"""The query tree -> a test of one stored row: what decides where an index has only named candidates.

A row is a `contracts.records` row, with the origin of its batch. Tantivy's index leaves out blocks that cannot match,
OpenSearch's cannot tell of very long values; both refuse what a field cannot have. The meaning of `contracts.query` is
here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import re2

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import NUMBER_FIELDS, TEXT_FIELDS, All, And, Exists, Node, Not, Or, Range, Term, Wildcard
from lakehouse.hot.tantivy.schema import LONGEST_TOKEN_BYTES, tokens
from lakehouse.hot.tantivy.terms import as_double

Match = Callable[[Any, Any], bool]  # (row, origin)
Leaf = Term | Wildcard | Range | Exists
NUMBERS = {Kind.LOGS: {"severity_number"}, Kind.METRICS: {"value"}, Kind.EVENTS: set[str]()}
TEXTS = {Kind.LOGS: TEXT_FIELDS, Kind.METRICS: frozenset[str](), Kind.EVENTS: TEXT_FIELDS}
_Test = Callable[[Any], bool]  # of a value

_PREFIX = "attributes."
_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_WILD = ("*", "?")
_WILDCARD_PART = re.compile(r"\\.|.", re.DOTALL)


def matcher(node: Node) -> Match:
    """A test of rows, for a tree that the store's `build` has accepted."""
    match node:
        case All():
            return lambda _row, _origin: True
        case And(nodes):
            return _all([matcher(inner) for inner in nodes])
        case Or(nodes):
            return _any([matcher(inner) for inner in nodes])
        case Not(inner):
            test = matcher(inner)
            return lambda row, origin: not test(row, origin)
    return _leaf(node)


def record_matcher(node: Node) -> Callable[[Mapping[str, Any]], bool]:
    """The same for records by the names of their columns."""
    test = matcher(node)

    def of(record: Mapping[str, Any]) -> bool:
        row = SimpleNamespace(**record)
        return test(row, row)

    return of


def _all(tests: list[Match]) -> Match:
    def test(row: Any, origin: Any) -> bool:
        for one in tests:  # noqa: SIM110  # `all` over a generator takes twice as long
            if not one(row, origin):
                return False
        return True

    return test


def _any(tests: list[Match]) -> Match:
    return lambda row, origin: any(test(row, origin) for test in tests)


def _leaf(node: Leaf) -> Match:
    field = node.field
    if field.startswith(_PREFIX):
        key, test = field.removeprefix(_PREFIX), _value_test(node, is_attribute=True)
        return lambda row, _origin: (value := row.attributes.get(key)) is not None and test(value)
    if field == "producer":
        test = _value_test(node, is_attribute=False)
        return lambda _row, origin: test(origin.producer)
    if field in TEXT_FIELDS:
        test = _text_test(node)
    elif field in NUMBER_FIELDS or field == "timestamp":
        test = _number_test(node)
    else:
        test = _value_test(node, is_attribute=False)
    value_of = operator.attrgetter("timestamp_ns" if field == "timestamp" else field)
    return lambda row, _origin: test(value_of(row))


def _value_test(node: Leaf, is_attribute: bool) -> _Test:
    """Of a keyword field or an attribute that is there."""
    match node:
        case Term(_, text):
            return lambda value: value == text if type(value) is str else _text_of(value) == text
        case Wildcard(_, pattern):
            fits = _compiled(f"(?s){_pattern(pattern, '.')}").fullmatch
            return lambda value: fits(_text_of(value)) is not None
        case Exists():
            return lambda value: value != ""
        case Range(_, None, None) if not is_attribute:
            return lambda value: bool(value != "")
        case Range(_, low, high) if is_attribute and (low, high) != (None, None) and _has_numbers_only(node):
            between = _between(node)
            return lambda value: type(value) in (int, float) and between(as_double(value))
    between = _between(Range(node.field, _bound(node.low), _bound(node.high), node.include_low, node.include_high))
    return lambda value: type(value) is str and between(value)


def _bound(bound: str | int | float | None) -> str | None:
    return None if bound is None else str(bound)


def _text_of(value: Any) -> str:
    return value if type(value) is str else _ENCODE(value).decode()


def _has_numbers_only(node: Range) -> bool:
    return all(bound is None or not isinstance(bound, str) for bound in (node.low, node.high))


def _between(node: Range) -> _Test:
    """Bounds are compared as they are: numbers with numbers, texts by code points."""
    low: Any = node.low
    high: Any = node.high
    above = None if low is None else operator.ge if node.include_low else operator.gt
    below = None if high is None else operator.le if node.include_high else operator.lt
    if above and below:
        return lambda value: bool(above(value, low) and below(value, high))
    if above:
        return lambda value: bool(above(value, low))
    if below:
        return lambda value: bool(below(value, high))
    return lambda _value: True


def _number_test(node: Leaf) -> _Test:
    """Of a number field; None in a row is what is no finite number."""
    match node:
        case Term(_, text):
            wanted = double_of(text)
            return lambda value: value is not None and value == wanted
        case Range(field, low, high):
            if field != "timestamp":
                low, high = (None if bound is None else double_of(bound) for bound in (low, high))
                if (low is None) != (node.low is None) or (high is None) != (node.high is None):
                    return lambda _value: False
            between = _between(Range(field, low, high, node.include_low, node.include_high))
            if (low, high) == (None, None):
                return between
            return lambda value: value is not None and between(value)
    return lambda _value: True


def double_of(value: str | int | float) -> float | None:
    """`value` as a finite double, or None."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text_test(node: Leaf) -> _Test:
    match node:
        case Term(_, text):
            return _phrase_test(tokens(text))
        case Wildcard(_, pattern):
            return _token_test(pattern)
    return lambda value: value != ""


def _phrase_test(wanted: list[str]) -> _Test:
    """All tokens, adjacent and in order."""
    if not wanted or any(len(word.encode()) > LONGEST_TOKEN_BYTES for word in wanted):
        return lambda _text: False
    first, count = wanted[0], len(wanted)

    def in_tokens(text: str) -> bool:
        words = tokens(text)
        return any(words[start : start + count] == wanted for start, word in enumerate(words) if word == first)

    if not all(word.isascii() for word in wanted):
        return in_tokens
    find = re.compile("(?<![a-z0-9])" + "[^a-z0-9]+".join(wanted) + "(?![a-z0-9])").search

    def test(text: str) -> bool:
        if not text.isascii():
            return in_tokens(text)
        lowered = text.lower()
        return first in lowered and find(lowered) is not None

    return test


def _token_test(pattern: str) -> _Test:
    """One token that matches the whole pattern, lower-cased."""
    parts = _WILDCARD_PART.findall(pattern)
    if not all(part in _WILD or tokens(part[-1]) for part in parts):
        return lambda _text: False  # holds a character that no token holds
    lowered = "".join(part.lower() for part in parts)
    fits = _compiled(f"(?s){_pattern(lowered, '.')}").fullmatch
    inside = _compiled(f"(?:^|[^a-z0-9])(?:{_pattern(lowered, '[a-z0-9]')})(?:$|[^a-z0-9])").search

    def test(text: str) -> bool:
        if text.isascii() and lowered.strip("*"):
            return inside(text.lower()) is not None
        return any(fits(word) is not None for word in tokens(text))

    return test


def _pattern(pattern: str, any_one: str) -> str:
    """`*` any run, `?` any one character, a backslash takes what follows as it is."""
    parts = _WILDCARD_PART.findall(pattern)
    return "".join({"*": f"{any_one}*", "?": any_one}.get(part) or re2.escape(part[-1]) for part in parts)


def _compiled(pattern: str) -> Any:
    """In time linear in the text, whatever a user asks for.

    Raises:
        QueryError: It takes too much memory.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise QueryError("a wildcard is too long or too complex: shorten it", code="bad_value") from error
