"""The query tree over one record in memory: does it match? For records whose values are too long for the index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import re2

from contracts.messages import Kind
from contracts.query import TEXT_FIELDS, All, And, Exists, Node, Not, Or, Range, Term, Wildcard
from lakehouse.hot_opensearch_query import ATTRIBUTE, NUMBERS, number_in
from lakehouse.hot_opensearch_terms import as_double, text_of
from lakehouse.hot_opensearch_words import LONGEST_TOKEN_BYTES, lowered, tokens

Leaf = Term | Wildcard | Range | Exists


def matches(node: Node, kind: Kind, record: Mapping[str, Any]) -> bool:
    """Of a node that `hot_opensearch_query.build` took. `record` by the names of its columns."""
    match node:
        case All():
            return True
        case And(nodes):
            return all(matches(inner, kind, record) for inner in nodes)
        case Or(nodes):
            return any(matches(inner, kind, record) for inner in nodes)
        case Not(inner):
            return not matches(inner, kind, record)
    if node.field == "timestamp":
        return isinstance(node, Exists) or _inside(node, record["timestamp_ns"])
    if node.field in NUMBERS[kind]:
        return _number(node, record[node.field])
    if node.field in TEXT_FIELDS:
        return _text(node, record[node.field])
    if node.field.startswith(ATTRIBUTE):
        value = record["attributes"].get(node.field.removeprefix(ATTRIBUTE))
        return value is not None and _value(node, value, is_attribute=True)
    return _value(node, record[node.field], is_attribute=False)


def _number(node: Leaf, number: float | None) -> bool:
    if isinstance(node, Exists):
        return True
    if number is None:
        return isinstance(node, Range) and node.low is None and node.high is None
    if isinstance(node, Term):
        return number_in(node.value) == number
    return _inside(node, number)


def _inside(node: Leaf, number: float) -> bool:
    assert isinstance(node, Range)
    low, high = (None if bound is None else number_in(bound) for bound in (node.low, node.high))
    if (low is None) != (node.low is None) or (high is None) != (node.high is None):
        return False
    exact = isinstance(node.low, int | None) and isinstance(node.high, int | None)
    return _between(number, node.low if exact else low, node.high if exact else high, node)


def _between(value: Any, low: Any, high: Any, node: Range) -> bool:
    if low is not None and (value < low or (value == low and not node.include_low)):
        return False
    return high is None or not (value > high or (value == high and not node.include_high))


def _text(node: Leaf, text: str) -> bool:
    match node:
        case Term(_, value):
            words, wanted = tokens(text), tokens(value)
            if not wanted or any(len(word.encode()) > LONGEST_TOKEN_BYTES for word in wanted):
                return False
            return any(words[start : start + len(wanted)] == wanted for start in range(len(words) - len(wanted) + 1))
        case Wildcard(_, pattern):
            return any(wildcard(lowered(pattern)).fullmatch(word) for word in tokens(text))
        case _:
            return text != ""


def _value(node: Leaf, value: Any, is_attribute: bool) -> bool:
    match node:
        case Term(_, text):
            return text_of(value) == text
        case Wildcard(_, pattern):
            return wildcard(pattern).fullmatch(text_of(value)) is not None
        case Exists():
            return text_of(value) != ""
        case Range(_, low, high):
            bounds = [bound for bound in (low, high) if bound is not None]
            if not bounds:
                return isinstance(value, str) and (is_attribute or value != "")
            if is_attribute and not any(isinstance(bound, str) for bound in bounds):
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                return is_number and _between(as_double(value), _double(low), _double(high), node)
            return isinstance(value, str) and _between(value, _as_text(low), _as_text(high), node)


def _double(bound: Any) -> float | None:
    return None if bound is None else as_double(bound)


def _as_text(bound: Any) -> str | None:
    return None if bound is None else str(bound)


def wildcard(pattern: str) -> Any:
    """`*` any run, `?` any one character; a backslash takes what follows as it is. In time linear in the text."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return re2.compile("(?s)" + "".join(special.get(part) or re2.escape(part[-1]) for part in parts))
