"""Field names and values of a query, as people write them -> nodes over the fields that both tiers hold.

Own fields of the kind stand as they are; `message` is `body`, `level` and `severity` are `severity_number` by band,
`attr.x` is `attributes.x`, and any other name is an attribute. `parse_level` is also what `level=` takes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, NUMBER_FIELDS, All, Exists, Node, Range, Term, Wildcard
from query_api.times import parse_span

_SEVERITY = "severity_number"
_TIMESTAMP = "timestamp"
_LEVEL_HINT = "use trace, debug, info, warn, error, fatal or a number 0-24"
_UNSEARCHABLE = {"id", "observed_timestamp"}

# Source: OpenTelemetry logs data model, severity ranges; the further words are what syslog and loggers write.
LEVELS = {
    **dict.fromkeys(("trace", "finest", "verbose"), (1, 4)),
    **dict.fromkeys(("debug", "fine"), (5, 8)),
    **dict.fromkeys(("info", "information", "informational", "notice"), (9, 12)),
    **dict.fromkeys(("warn", "warning"), (13, 16)),
    **dict.fromkeys(("error", "err", "severe"), (17, 20)),
    **dict.fromkeys(("fatal", "critical", "crit", "alert", "emerg", "emergency", "panic"), (21, 24)),
}

_Value = str | int | float | None

_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?\Z")
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
        return Term(field, value.text)

    def matches(self, field: str, pattern: str, position: int | None) -> Node:
        """A pattern with wildcards; `*` alone asks whether the field is there."""
        if not pattern.strip("*"):
            return self.exists(field)
        if field == _TIMESTAMP or field in NUMBER_FIELDS:
            hint = f"use a range, such as {field}:[a TO b]"
            raise QueryError(f"{field} takes no wildcards", code="bad_value", position=position, hint=hint)
        if field == "body" and not all(char.isalnum() or char in "*?" for char in pattern):
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


def number_in(text: str) -> int | float | None:
    """The number that `text` is, or None. Whole numbers beyond int64 become floats; infinities are none."""
    if not _NUMBER.match(text):
        return None
    if text.lstrip("-").isdigit() and abs(int(text)) < 2**63:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


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
    first = start[0] if start and (with_low or start[0] == start[1]) else start and start[1] + 1
    last = end[1] if end and (with_high or end[0] == end[1]) else end and end[0] - 1
    by_name = start is None and end is not None and end[0] != end[1]
    keep_low = with_low or (start is not None and start[0] != start[1])
    keep_high = with_high or (end is not None and end[0] != end[1])
    return Range(_SEVERITY, 1 if by_name else first, last, keep_low, keep_high)


def _band(level: Bound) -> tuple[int | float, int | float]:
    named = LEVELS.get(level.text.lower())
    if named:
        return named
    number = number_in(level.text)
    if number is None:
        message = f'"{level.text[:40]}" is not a level'
        raise QueryError(message, code="bad_value", position=level.position, hint=_LEVEL_HINT)
    return number, number


def _number(bound: Bound | None) -> int | float | None:
    if bound is None:
        return None
    number = number_in(bound.text)
    if number is None:
        raise QueryError(f'"{bound.text[:40]}" is not a number', code="bad_value", position=bound.position)
    return number


def _text(bound: Bound | None) -> str | None:
    return None if bound is None else bound.text
