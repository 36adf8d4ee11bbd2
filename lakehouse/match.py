"""Conditions of a query -> a test of one stored row: what decides where an index or SQL has only named candidates.

A row is a `contracts.records` row, with the origin of its batch. An attribute holds when one of its elements does:
those of a list, of lists in it, and under `list.field` those of objects in it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import Node
from lakehouse.conditions import (
    ATTRIBUTES,
    TIMESTAMP,
    AddressRange,
    Always,
    AnyOf,
    Condition,
    Equal,
    Every,
    Leaf,
    Like,
    Never,
    NoneOf,
    NumberRange,
    Phrase,
    Present,
    TextRange,
    Tree,
    WordLike,
    compiled,
)
from text.numbers import number_of
from text.patterns import compiled as compiled_regex
from text.patterns import escape
from text.wildcards import as_regex
from text.words import is_plain, words

Test = Callable[[Any], bool]  # of a value that is there
Match = Callable[[Any, Any], bool]  # (row, origin)

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode
_SCALARS = frozenset((int, float, bool))
_NESTED = re.compile(r"[\[,][\[{]")


def matcher(node: Node, kind: Kind) -> Match:
    """A test of rows of `kind`.

    Raises:
        QueryError: See `conditions.compiled`; or a wildcard is too complex.
    """
    return tree_test(compiled(node, kind))


def record_matcher(node: Node, kind: Kind) -> Callable[[Mapping[str, Any]], bool]:
    """The same for records by the names of their columns."""
    test = matcher(node, kind)

    def of(record: Mapping[str, Any]) -> bool:
        row = SimpleNamespace(**record)
        return test(row, row)

    return of


def tree_test(tree: Tree) -> Match:
    match tree:
        case Every(parts):
            return _all([tree_test(part) for part in parts])
        case AnyOf(parts):
            tests = [tree_test(part) for part in parts]
            return lambda row, origin: any(test(row, origin) for test in tests)
        case NoneOf(part):
            test = tree_test(part)
            return lambda row, origin: not test(row, origin)
    return _leaf(tree)


def _all(tests: list[Match]) -> Match:
    def test(row: Any, origin: Any) -> bool:
        for one in tests:  # noqa: SIM110  # `all` over a generator takes twice as long
            if not one(row, origin):
                return False
        return True

    return test


def _leaf(leaf: Leaf) -> Match:
    test = condition_test(leaf.condition)
    if leaf.field == ATTRIBUTES:
        return _of_attribute(leaf.key, test)
    if leaf.field == "producer":
        return lambda _row, origin: test(origin.producer)
    value_of = operator.attrgetter("timestamp_ns" if leaf.field == TIMESTAMP else leaf.field)
    return lambda row, _origin: test(value_of(row))


def _of_attribute(key: str, test: Test) -> Match:
    is_dotted = "." in key

    def holds(row: Any, _origin: Any) -> bool:
        value = row.attributes.get(key)
        is_simple = type(value) in _SCALARS or (type(value) is str and value[:1] != "[")
        if is_simple and test(value):
            return True
        if is_dotted or (value is not None and not is_simple):
            return any(map(test, elements(row.attributes, key)))
        return False

    return holds


def elements(attributes: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The values of an attribute: itself, or those in its list; and under `list.field` those in objects of the list."""
    if (value := attributes.get(key)) is not None:
        yield from _flat(value)
        if (held := list_in(value)) is not None:
            yield from _flat(held)
    dot = key.find(".")
    while dot >= 0:
        inner = attributes.get(key[:dot])
        if inner is not None and type(inner) not in _SCALARS:
            yield from _inside(list_in(inner) if type(inner) is str else inner, key[dot + 1 :])
        dot = key.find(".", dot + 1)


def list_in(value: Any) -> list[Any] | None:
    """The list that a text is, when it holds lists or objects: flows store such a list as its canonical JSON."""
    if type(value) is not str or value[:1] != "[" or _NESTED.search(value) is None:
        return None
    try:
        found = _decode(value)
    except (ValueError, RecursionError):
        return None
    return found if type(found) is list else None


def _flat(value: Any) -> Iterator[Any]:
    if type(value) is list:
        for each in value:
            yield from _flat(each)
    elif value is not None:
        yield value


def _inside(value: Any, key: str) -> Iterator[Any]:
    if type(value) is list:
        for each in value:
            yield from _inside(each, key)
    elif type(value) is dict:
        for name, each in leaves("", value):
            if name == f".{key}":
                yield each


def leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every name under which something of an attribute is found by `elements`, with the value that is found."""
    if type(value) is list:
        for each in value:
            yield from leaves(key, each)
    elif value is not None:
        yield key, value
        if type(value) is dict:
            for inner, each in value.items():
                yield from leaves(f"{key}.{inner}", each)


def attribute_leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """`leaves` of a whole attribute, which may be the text of a list."""
    yield from leaves(key, value)
    if (held := list_in(value)) is not None:
        yield from leaves(key, held)


def text_of(value: Any) -> str:
    """Texts as they are, anything else as canonical JSON."""
    return value if type(value) is str else _encode(value).decode()


def condition_test(condition: Condition) -> Test:
    match condition:
        case Always():
            return lambda _value: True
        case Present():
            return lambda value: bool(value != "")
        case Equal():
            return _equal(condition)
        case Like(pattern):
            fits = _regex(f"(?s)(?:{as_regex(pattern, '.', escape)})").fullmatch
            return lambda value: fits(text_of(value)) is not None
        case TextRange(low, high, with_low, with_high):
            inside = _between(low, high, with_low, with_high)
            return lambda value: type(value) is str and inside(value)
        case NumberRange(low, high, with_low, with_high):
            within = _between(low, high, with_low, with_high)
            return lambda value: (number := number_of(value)) is not None and within(number)
        case AddressRange(span):
            return lambda value: type(value) is str and span.holds(value)
        case Phrase(wanted):
            return _phrase(list(wanted))
        case WordLike(pattern):
            try:
                return pattern.test()
            except ValueError as error:
                raise QueryError(str(error), code="bad_value") from error
        case Never():
            return lambda _value: False


def _equal(condition: Equal) -> Test:
    text, number, span = condition.text, condition.number, condition.span
    if number is None and span is None:
        return lambda value: value == text if type(value) is str else text_of(value) == text

    def test(value: Any) -> bool:
        if type(value) is str and (value == text or (span is not None and span.holds(value))):
            return True
        if number is not None:
            return number_of(value) == number
        return type(value) is not str and text_of(value) == text

    return test


def _between(low: Any, high: Any, with_low: bool, with_high: bool) -> Test:
    """Bounds are compared as they are: numbers with numbers, texts by code points."""
    above, below = operator.ge if with_low else operator.gt, operator.le if with_high else operator.lt
    if low is not None and high is not None:
        return lambda value: bool(above(value, low) and below(value, high))
    if low is not None:
        return lambda value: bool(above(value, low))
    return lambda value: high is None or bool(below(value, high))


def _phrase(wanted: list[str]) -> Test:
    first, count = wanted[0], len(wanted)

    def in_words(text: str) -> bool:
        found = words(text)
        return any(found[start : start + count] == wanted for start, word in enumerate(found) if word == first)

    if not all(word.isascii() for word in wanted):
        return lambda text: not text.isascii() and in_words(text)
    find = re.compile("(?<![a-z0-9])" + "[^a-z0-9]+".join(wanted) + "(?![a-z0-9])").search

    def test(text: str) -> bool:
        if not is_plain(text):
            return in_words(text)
        lowered = text.lower()
        return first in lowered and find(lowered) is not None

    return test


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return compiled_regex(pattern)
    except ValueError as error:
        raise QueryError(str(error), code="bad_value") from error
