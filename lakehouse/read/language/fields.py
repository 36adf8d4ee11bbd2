"""Field names and values of a query, as people write them -> nodes over the fields that both tiers hold.

Own fields of the kind stand as they are; `message` is `body`, `level` and `severity` are `severity_number` by band,
`attr.x` is `attributes.x`, and any other name is an attribute. `parse_level` is also what `level=` takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, NUMBER_FIELDS, All, Exists, Node, Range, Term, Wildcard
from lakehouse.read.language.times import parse_span
from text.levels import band_of
from text.numbers import number_in
from text.words import word_pattern, words

_SEVERITY = "severity_number"
_TIMESTAMP = "timestamp"
_LEVEL_HINT = (
    "use trace, debug, info, warn, error, fatal, a word that programs send, such as crit or dbg, or a number 0-24"
)
_UNSEARCHABLE = {"id", "observed_timestamp"}

_Value = str | int | float | None

_COMPARISON = re.compile(r"\s*(>=|<=|>|<|)\s*(\S+)\s*\Z")


@dataclass(frozen=True, slots=True)
class Bound:
    """One side of a range: its text, whether it stood in quotes (then it is never a number), and where."""

    text: str
    quoted: bool = False
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one kind. `now_ns` is the clock that `timestamp:>now-1h` is read by."""

    kind: Kind
    now_ns: int

    def named(self, name: str, position: int | None = None) -> str:
        """The stored field that `name` means.

        Raises:
            QueryError: It cannot be searched.
        """
        if name in {"body", "message"} and self.kind is not Kind.METRICS:
            return "body"
        if name in {"level", "severity", _SEVERITY} and self.kind is Kind.LOGS:
            return _SEVERITY
        if name == "value" and self.kind is Kind.METRICS:
            return name
        if name in {_TIMESTAMP, "@timestamp"}:
            return _TIMESTAMP
        if name in KEYWORD_FIELDS[self.kind]:
            return name
        if name in _UNSEARCHABLE:
            hint = f"for an attribute of that name write attributes.{name}"
            raise QueryError(f'"{name}" cannot be searched', code="bad_field", position=position, hint=hint)
        key = name.partition(".")[2] if name.startswith(("attributes.", "attr.")) else name
        if not key:
            raise QueryError("a field name is missing", code="bad_field", position=position)
        return f"attributes.{key}"

    def default(self, position: int | None) -> str:
        """The field of a word without one."""
        if self.kind is Kind.METRICS:
            hint = "metrics have no text: write field:value, such as host:web-1"
            raise QueryError("a word needs a field here", code="bad_field", position=position, hint=hint)
        return "body"

    def equals(self, field: str, value: Bound) -> Node:
        if field == _SEVERITY:
            return _levels("", value)
        if field == _TIMESTAMP or field in NUMBER_FIELDS:
            return self.between(field, value, value, True, True)
        if field == "body" and not words(value.text):
            hint = "name a letter, a digit or a symbol beyond ASCII: punctuation alone is in every text"
            message = f'"{value.text[:40]}" has no word in it'
            raise QueryError(message, code="bad_value", position=value.position, hint=hint)
        return Term(field, value.text)

    def matches(self, field: str, pattern: str, position: int | None) -> Node:
        """A pattern with wildcards; `*` alone asks whether the field is there."""
        if not pattern.strip("*"):
            return self.exists(field)
        if field == _TIMESTAMP or field in NUMBER_FIELDS:
            hint = f"use a range, such as {field}:[a TO b]"
            raise QueryError(f"{field} takes no wildcards", code="bad_value", position=position, hint=hint)
        if field == "body" and word_pattern(pattern) is None:
            hint = "a wildcard matches within one word, and only letters and digits make words: conn AND re*"
            raise QueryError("a wildcard across words", code="bad_value", position=position, hint=hint)
        return Wildcard(field, pattern)

    def exists(self, field: str) -> Node:
        if field == _TIMESTAMP:
            return All()
        return Range(field, 1, 24) if field == _SEVERITY else Exists(field)

    def between(self, field: str, low: Bound | None, high: Bound | None, with_low: bool, with_high: bool) -> Node:
        """Both `None`: the field is there."""
        if low is None and high is None:
            return self.exists(field)
        if field == "body":
            position = (low or high or Bound("")).position
            raise QueryError("body has no order", code="bad_value", position=position, hint="name a field: x:[a TO b]")
        if field == _SEVERITY:
            return _level_range(low, high, with_low, with_high)
        if field == _TIMESTAMP:  # a day has an inside: after a day starts past its end, up to a day takes all of it
            start, end = self._span(low)[0 if with_low else 1], self._span(high)[1 if with_high else 0]
            return Range(field, start, end, with_low, with_high)
        first, last = self._bounds(field, low, high)
        return Range(field, first, last, with_low, with_high)

    def _bounds(self, field: str, low: Bound | None, high: Bound | None) -> tuple[_Value, _Value]:
        if field in NUMBER_FIELDS:
            return _number(low), _number(high)
        numbers = [None if b is None or b.quoted else number_in(b.text) for b in (low, high)]
        numeric = all(n is not None for n, b in zip(numbers, (low, high), strict=True) if b)
        if field.startswith("attributes.") and numeric:
            return numbers[0], numbers[1]
        return _text(low), _text(high)

    def _span(self, bound: Bound | None) -> tuple[int, int] | tuple[None, None]:
        return (None, None) if bound is None else parse_span(bound.text, self.now_ns, position=bound.position)


def parse_level(text: str) -> Node:
    """`error`, `>=warn`, `17`: a severity band, or what lies above or below it.

    Raises:
        QueryError: The level is not known (code "bad_value").
    """
    match = _COMPARISON.match(text)
    if match is None:
        raise QueryError(f'"{text[:40]}" is not a level', code="bad_value", hint=_LEVEL_HINT)
    return _levels(match[1], Bound(match[2]))


def _levels(comparison: str, level: Bound) -> Node:
    if comparison.startswith(">"):
        return _level_range(level, None, comparison == ">=", True)
    if comparison.startswith("<"):
        return _level_range(None, level, True, comparison == "<=")
    return _level_range(level, level, True, True)


def _level_range(low: Bound | None, high: Bound | None, with_low: bool, with_high: bool) -> Node:
    start = _band(low) if low else None
    end = _band(high) if high else None
    # A band has an inside: above warn starts after all of warn, and below warn ends before all of it.
    first = None if start is None else start.first if with_low or not start.is_wide else start.last + 1
    last = None if end is None else end.last if with_high or not end.is_wide else end.first - 1
    if start is None and end is not None and end.is_name:
        first = 1  # below a level by its name is no record without one
    keep_low = with_low or start is None or start.is_wide
    return Range(_SEVERITY, first, last, keep_low, with_high or (end is not None and end.is_wide))


@dataclass(frozen=True, slots=True)
class _Band:
    """Severity numbers of a level, both included."""

    first: int | float
    last: int | float
    is_name: bool

    @property
    def is_wide(self) -> bool:
        return self.first != self.last


def _band(level: Bound) -> _Band:
    if (named := band_of(level.text)) is not None:
        return _Band(*named, True)
    number = number_in(level.text)
    if number is None:
        message = f'"{level.text[:40]}" is not a level'
        raise QueryError(message, code="bad_value", position=level.position, hint=_LEVEL_HINT)
    return _Band(number, number, False)


def _number(bound: Bound | None) -> int | float | None:
    if bound is None:
        return None
    number = number_in(bound.text)
    if number is None:
        raise QueryError(f'"{bound.text[:40]}" is not a number', code="bad_value", position=bound.position)
    return number


def _text(bound: Bound | None) -> str | None:
    return None if bound is None else bound.text
