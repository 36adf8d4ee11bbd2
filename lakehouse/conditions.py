"""The query tree -> conditions on values: everything that a leaf means, decided once for every tier.

`match` tests rows by them. An index or SQL writes them in its own way, and says where it cannot be sure; `match` then
decides by the row itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import (
    KEYWORD_FIELDS,
    TEXT_FIELDS,
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
from text.addresses import Span, between, span_in
from text.numbers import Number, number_in
from text.words import WordPattern, word_pattern, words

ATTRIBUTE = "attributes."
ATTRIBUTES = "attributes"
TIMESTAMP = "timestamp"
NUMBERS = {Kind.LOGS: {"severity_number"}, Kind.METRICS: {"value"}, Kind.EVENTS: set[str]()}
TEXTS = {Kind.LOGS: TEXT_FIELDS, Kind.METRICS: frozenset[str](), Kind.EVENTS: TEXT_FIELDS}
_DEEPEST = 200  # far above what the parser lets through; engines recurse
_LONGEST_PATTERN = 1000  # characters
_HEXADECIMAL = frozenset({"trace_id", "span_id"})  # stored in lower case


@dataclass(frozen=True, slots=True)
class Always:
    """Holds for every row, whatever the field has."""


@dataclass(frozen=True, slots=True)
class Never:
    """Holds for none."""


@dataclass(frozen=True, slots=True)
class Present:
    """The value is there and not the empty text."""


@dataclass(frozen=True, slots=True)
class Equal:
    """The value's text is `text`, its number `number`, or it is an address of `span`."""

    text: str
    number: Number | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Like:
    """The value's text matches the wildcard as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class TextRange:
    """The value is a text between the bounds, by code points; None is open."""

    low: str | None
    high: str | None
    with_low: bool
    with_high: bool

    @property
    def takes_empty(self) -> bool:
        from_start = self.low is None or (self.low == "" and self.with_low)
        return from_start and (self.high is None or self.high != "" or self.with_high)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """The value is a number, or of an attribute a text that is one, between the bounds; None is open."""

    low: Number | None
    high: Number | None
    with_low: bool = True
    with_high: bool = True

    def integers(self) -> tuple[int | None, int | None]:
        """The first and the last whole number inside."""
        low, high = (_finite(bound) for bound in (self.low, self.high))
        first = low if low is None else math.ceil(low) if self.with_low else math.floor(low) + 1
        return first, high if high is None else math.floor(high) if self.with_high else math.ceil(high) - 1


@dataclass(frozen=True, slots=True)
class AddressRange:
    """The value is an address of `span`."""

    span: Span


@dataclass(frozen=True, slots=True)
class Phrase:
    """The text has all words (one at least), adjacent and in order."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WordLike:
    """The text has a word that matches."""

    pattern: WordPattern


Condition = Always | Never | Present | Equal | Like | TextRange | NumberRange | AddressRange | Phrase | WordLike


@dataclass(frozen=True, slots=True)
class Leaf:
    """A condition on a field; of an attribute the field is `ATTRIBUTES`, and `key` says which."""

    field: str
    condition: Condition
    key: str = ""


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    part: Tree


Tree = Every | AnyOf | NoneOf | Leaf


def compiled(node: Node, kind: Kind, depth: int = 0) -> Tree:
    """`node` over records of `kind`.

    Raises:
        QueryError: A field that the kind does not have, a condition that its field cannot have, or no valid text.
    """
    if depth > _DEEPEST:
        raise QueryError(f"the query is nested deeper than {_DEEPEST}", code="too_deep")
    match node:
        case All():
            return Every(())
        case And(nodes):
            return Every(tuple(compiled(inner, kind, depth + 1) for inner in nodes))
        case Or(nodes):
            return AnyOf(tuple(compiled(inner, kind, depth + 1) for inner in nodes))
        case Not(inner):
            return NoneOf(compiled(inner, kind, depth + 1))
    _check(node)
    return _leaf(node, kind)


def _leaf(node: Term | Wildcard | Range | Exists, kind: Kind) -> Leaf:
    field = node.field
    if field.startswith(ATTRIBUTE):
        return Leaf(ATTRIBUTES, _of_attribute(node), field.removeprefix(ATTRIBUTE))
    if field == TIMESTAMP:
        return Leaf(field, _of_time(node))
    if field in KEYWORD_FIELDS.get(kind, ()):
        return Leaf(field, _of_keyword(_lowered(node) if field in _HEXADECIMAL else node))
    if field in TEXTS.get(kind, ()):
        return Leaf(field, _of_text(node))
    if field in NUMBERS.get(kind, ()):
        return Leaf(field, _of_number(node))
    raise QueryError(f'{kind.value} have no field "{field[:80]}"', code="unknown_field")


def _check(node: Term | Wildcard | Range | Exists) -> None:
    values = [node.field, *(getattr(node, name, None) for name in ("value", "pattern", "low", "high"))]
    for value in values:
        try:
            if isinstance(value, str):
                value.encode()
        except UnicodeEncodeError as error:
            raise QueryError("a value of the query is not valid Unicode", code="bad_value") from error
    if isinstance(node, Wildcard) and len(node.pattern) > _LONGEST_PATTERN:
        raise QueryError(f"a wildcard has at most {_LONGEST_PATTERN} characters: shorten it", code="bad_value")


def _lowered(node: Term | Wildcard | Range | Exists) -> Term | Wildcard | Range | Exists:
    match node:
        case Term(field, value):
            return Term(field, value.lower())
        case Wildcard(field, pattern):
            return Wildcard(field, pattern.lower())
        case Range(field, low, high, with_low, with_high):
            low, high = (None if bound is None else str(bound).lower() for bound in (low, high))
            return Range(field, low, high, with_low, with_high)
    return node


def _of_attribute(node: Term | Wildcard | Range | Exists) -> Condition:
    match node:
        case Term(_, value):
            return Equal(value, number_in(value), span_in(value))
        case Range(_, low, high, with_low, with_high):
            bounds = [bound for bound in (low, high) if bound is not None]
            if bounds and not any(isinstance(bound, str) for bound in bounds):
                return NumberRange(_number(low), _number(high), with_low, with_high)
            return _between(node)
        case Wildcard(_, pattern):
            return Like(pattern)
    return Present()


def _of_keyword(node: Term | Wildcard | Range | Exists) -> Condition:
    match node:
        case Term(_, value):
            return Equal(value, None, span_in(value))
        case Wildcard(_, pattern):
            return Like(pattern)
        case Range(_, low, high) if low is not None or high is not None:
            return _between(node)
    return Present()


def _between(node: Range) -> Condition:
    low, high = (None if bound is None else str(bound) for bound in (node.low, node.high))
    span = between(low, high, node.include_low, node.include_high)
    return TextRange(low, high, node.include_low, node.include_high) if span is None else AddressRange(span)


def _of_text(node: Term | Wildcard | Range | Exists) -> Condition:
    match node:
        case Term(_, value):
            found = tuple(words(value))
            return Phrase(found) if found else Never()
        case Wildcard(_, pattern):
            fitting = word_pattern(pattern)
            return Never() if fitting is None or not pattern else WordLike(fitting)
        case Range(field):
            raise QueryError(f'text field "{field}" has no ranges', code="bad_value")
    return Present()


def _of_number(node: Term | Wildcard | Range | Exists) -> Condition:
    match node:
        case Term(field, value):
            return _of_number(Range(field, value, value))
        case Wildcard(field):
            raise QueryError(f'number field "{field}" has no wildcards', code="bad_value")
        case Range(_, low, high, with_low, with_high) if low is not None or high is not None:
            first, last = _number(low), _number(high)
            if (first is None) != (low is None) or (last is None) != (high is None):
                return Never()  # a bound that is no number
            return NumberRange(first, last, with_low, with_high)
    return Always()


def _of_time(node: Term | Wildcard | Range | Exists) -> Condition:
    match node:
        case Exists() | Range(_, None, None):
            return Always()
        case Range(_, int() | None as low, int() | None as high, with_low, with_high):
            first = None if low is None else low + (not with_low)
            return NumberRange(first, None if high is None else high - (not with_high))
    raise QueryError("timestamp takes a range of integers, nanoseconds", code="bad_value")


def _finite(bound: Number | None) -> Number | None:
    return bound if bound is None or not math.isinf(bound) else int(math.copysign(1, bound)) << 1024


def _number(bound: str | Number | None) -> Number | None:
    return number_in(bound) if isinstance(bound, str) else bound


Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Clause(Generic[Q]):
    """A condition as an engine writes it: the rows that match surely, and those that match possibly.

    `possible` None: exactly those that are sure.
    """

    sure: Q
    possible: Q | None = None

    @property
    def upper(self) -> Q:
        return self.sure if self.possible is None else self.possible


@dataclass(frozen=True, slots=True)
class Writer(Generic[Q]):
    """How an engine writes leaves, and joins what it wrote."""

    leaf: Callable[[Leaf], Clause[Q]]
    all_of: Callable[[Sequence[Q]], Q]
    any_of: Callable[[Sequence[Q]], Q]
    none_of: Callable[[Q], Q]

    def write(self, tree: Tree) -> Clause[Q]:
        match tree:
            case Every(parts):
                return self._joined(self.all_of, [self.write(part) for part in parts])
            case AnyOf(parts):
                return self._joined(self.any_of, [self.write(part) for part in parts])
            case NoneOf(part):
                clause = self.write(part)
                possible = None if clause.possible is None else self.none_of(clause.sure)
                return Clause(self.none_of(clause.upper), possible)
        return self.leaf(tree)

    def _joined(self, join: Callable[[Sequence[Q]], Q], clauses: Sequence[Clause[Q]]) -> Clause[Q]:
        sure = join([clause.sure for clause in clauses])
        if all(clause.possible is None for clause in clauses):
            return Clause(sure)
        return Clause(sure, join([clause.upper for clause in clauses]))
