"""Lucene query text -> `contracts.query.Node`.

The subset: words, "phrases", field:value, field:(a OR b), ranges [a TO b] {a TO b}, > >= < <=, AND OR NOT && || ! + -,
wildcards * and ?, `*:*`, field:*, _exists_:field, backslash escapes. A blank between two clauses means AND, and AND
binds tighter than OR. Words without a field search `body`. Any text gives a node or a QueryError, nothing else.
"""

from __future__ import annotations

import re
from typing import Any

from luqum import tree

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, Node, Not, Or
from contracts.settings import Settings
from lakehouse.read.language.fields import Bound, Fields
from lakehouse.read.language.tokens import parse_tree, too_deep

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PIECES = re.compile(r"\\(.)|(.)", re.DOTALL)
_WILDCARD = re.compile(r"(?:[^\\]|\\.)*?[*?]", re.DOTALL)


def parse(text: str, kind: Kind, now_ns: int, settings: Settings) -> Node:
    """Read `text`; blank is everything. `now_ns` is what `timestamp:>now-1h` counts from.

    Raises:
        QueryError: With the position of the first character at fault; codes "syntax", "unsupported", "too_long",
            "too_deep", "too_many_clauses", "bad_field", "bad_value", "bad_time".
    """
    if len(text) > settings.query_chars:
        message = f"the query has {len(text)} characters, more than {settings.query_chars}"
        raise QueryError(message, code="too_long", position=settings.query_chars, hint="shorten it or split it in two")
    for position, char in enumerate(text if not text.isascii() else ""):
        if "\ud800" <= char <= "\udfff":
            raise QueryError("half a character (a lone surrogate)", position=position, hint="send UTF-8")
    if not text.strip():
        return All()
    return _Builder(Fields(kind, now_ns), settings).node(parse_tree(text, settings.query_depth), None, 0)


class _Builder:
    """Walks luqum's tree once, counting clauses and depth."""

    def __init__(self, fields: Fields, settings: Settings) -> None:
        self.fields = fields
        self.max_depth = settings.query_depth
        self.max_clauses = settings.query_clauses
        self.clauses = 0

    def node(self, item: Any, field: str | None, depth: int) -> Node:
        """`field` is the one whose value `item` is; None searches the default."""
        if depth > self.max_depth:
            raise too_deep(item.pos, self.max_depth)
        match item:
            case tree.AndOperation():
                return And(tuple(self.node(each, field, depth) for each in item.operands))
            case tree.OrOperation():
                return Or(tuple(self.node(each, field, depth) for each in item.operands))
            case tree.Not() | tree.Prohibit():
                return Not(self.node(item.a, field, depth + 1))
            case tree.Plus():
                return self.node(item.a, field, depth + 1)
            case tree.Group() | tree.FieldGroup():
                return self.node(item.expr, field, depth + 1)
            case tree.SearchField():
                return self.in_field(item, depth)
        return self.clause(item, field)

    def in_field(self, item: Any, depth: int) -> Node:
        name = _plain(item.name)
        if isinstance(item.expr, tree.SearchField):
            position = item.expr.pos + len(item.expr.name)
            hint = 'put a value with ":" in double quotes, or write \\:'
            raise QueryError("a second field inside a field's value", position=position, hint=hint)
        if _WILDCARD.match(item.name):
            if item.name == "*" and isinstance(item.expr, tree.Word) and item.expr.value == "*":
                self.count(item)
                return All()
            raise QueryError("a field name takes no wildcards", code="bad_field", position=item.pos)
        if name == "_exists_":
            return self.exists(item.expr)
        return self.node(item.expr, self.fields.named(name, item.pos), depth)

    def exists(self, item: Any) -> Node:
        self.count(item)
        if not isinstance(item, tree.Word | tree.Phrase) or _has_wildcard(item):
            raise QueryError("_exists_ takes one field name", position=item.pos, hint="such as _exists_:trace_id")
        bound = _bound(item)
        return self.fields.exists(self.fields.named(bound.text, bound.position))

    def clause(self, item: Any, field: str | None) -> Node:
        self.count(item)
        if isinstance(item, tree.Word) and field is None and item.value == "*":
            return All()
        if isinstance(item, tree.Word | tree.Phrase):
            target = field or self.fields.default(item.pos)
            if _has_wildcard(item):
                return self.fields.matches(target, _pattern(item.value), item.pos)
            return self.fields.equals(target, _bound(item))
        if field is None:
            raise QueryError("a range needs a field", position=item.pos, hint="such as status:[500 TO 599]")
        match item:
            case tree.Range():
                low, high = _range_bound(item.low), _range_bound(item.high)
                return self.fields.between(field, low, high, item.include_low, item.include_high)
            case tree.From():
                return self.fields.between(field, _range_bound(item.a), None, item.include, True)
            case tree.To():
                return self.fields.between(field, None, _range_bound(item.a), True, item.include)
        raise QueryError(f"{type(item).__name__} is not supported", code="unsupported", position=item.pos)

    def count(self, item: Any) -> None:
        self.clauses += 1
        if self.clauses > self.max_clauses:
            message = f"more than {self.max_clauses} clauses"
            raise QueryError(message, code="too_many_clauses", position=item.pos, hint="split the query")


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _has_wildcard(item: Any) -> bool:
    return isinstance(item, tree.Word) and _WILDCARD.match(item.value) is not None


def _pattern(text: str) -> str:
    """Keep the backslash only before what a pattern needs escaped."""
    return "".join(
        plain if plain else f"\\{escaped}" if escaped in "*?\\" else escaped for escaped, plain in _PIECES.findall(text)
    )


def _bound(item: Any) -> Bound:
    if isinstance(item, tree.Phrase):
        return Bound(_plain(item.value[1:-1]), True, item.pos)
    return Bound(_plain(item.value), False, item.pos)


def _range_bound(item: Any) -> Bound | None:
    if isinstance(item, tree.Word) and item.value == "*":
        return None
    if not isinstance(item, tree.Word | tree.Phrase) or _has_wildcard(item):
        raise QueryError("a bound is one word, number, time or phrase", position=item.pos, hint="* leaves it open")
    return _bound(item)
