"""Conditions of a query -> OpenSearch's query language. No text of a user is ever parsed by the engine.

Each leaf becomes a `Clause`: what matches surely, and what matches possibly. They differ where a value or a word is too
long for a term of the index, where two integers are one double, and of addresses: such a record is then looked at
itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.messages import Kind
from contracts.query import Node, Position
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
from text.addresses import Span, dotted
from text.numbers import as_double, is_sure, sortable
from text.wildcards import as_regex, beginning, parts_of
from text.words import CUT, LONGEST_BYTES, WordPattern, cut_beginning, index_word

Query = dict[str, Any]

NOTHING: Query = {"match_none": {}}
EVERYTHING: Query = {"match_all": {}}
_LONGEST_BOUND = 128  # characters
_INT64, _BYTE = range(-(1 << 63), 1 << 63), range(-128, 128)


def all_of(queries: Sequence[Query]) -> Query:
    return {"bool": {"filter": list(queries)}} if queries else EVERYTHING


def any_of(queries: Sequence[Query]) -> Query:
    return {"bool": {"should": list(queries), "minimum_should_match": 1}} if queries else NOTHING


def none_of(query: Query) -> Query:
    return {"bool": {"must_not": [query]}}


def build(node: Node, kind: Kind) -> Clause[Query]:
    """`node` over the indexes of `kind`.

    Raises:
        QueryError: See `conditions.compiled`.
    """
    return _WRITER.write(compiled(node, kind))


def _leaf(leaf: Leaf) -> Clause[Query]:
    match leaf.condition:
        case Always():
            return Clause(EVERYTHING)
        case NumberRange() as wanted if leaf.field == TIMESTAMP:
            return Clause(_whole("timestamp_ns", *wanted.integers()))
        case NumberRange() as wanted if leaf.field == "severity_number":
            return Clause(_whole(leaf.field, *wanted.integers(), _BYTE))
        case NumberRange() as wanted if leaf.field != ATTRIBUTES:
            return Clause(_doubles(leaf.field, wanted))
        case Phrase(words):
            return Clause(_phrase(leaf.field, words))
        case WordLike(pattern):
            return _word_like(leaf.field, pattern)
        case Present() if leaf.field == "body":
            return Clause(any_of([{"exists": {"field": name}} for name in ("body", "words")]))
    return _attribute(leaf) if leaf.field == ATTRIBUTES else _keyword(leaf)


_WRITER = Writer(_leaf, all_of, any_of, none_of)


def _between(field: str, **bounds: Any) -> Query:
    return {"range": {field: bounds}}


def _beginning(head: str, field: str = "terms") -> Query:
    """There is a term that begins with `head`."""
    return _between(field, gte=head, lt=_after(head))


def _after(head: str) -> str:
    """The first text past all that begin with `head`; "" when there is none."""
    for place in range(len(head) - 1, -1, -1):
        code = ord(head[place]) + 1
        if code <= 0x10FFFF:
            return head[:place] + chr(0xE000 if code == 0xD800 else code)  # surrogates are no characters
    return ""


def _joined(clauses: Sequence[Clause[Query]]) -> Clause[Query]:
    """One of them, or both."""
    return Clause(any_of([clause.sure for clause in clauses]), any_of([clause.upper for clause in clauses]))


def _attribute(leaf: Leaf) -> Clause[Query]:
    name = name_of(leaf.key)
    match leaf.condition:
        case Equal(text, number, span):
            clauses = [Clause({"terms": {"terms": _whole_terms(name, text)}})]
            clauses += [] if number is None else [_numbers(name, NumberRange(number, number))]
            clauses += [] if span is None else [_addresses("terms", name + TEXT, span)]
            return clauses[0] if len(clauses) == 1 else _joined(clauses)
        case Like("*"):
            return Clause(_between("terms", gte=name + TEXT, lt=name + END))
        case Like(pattern):
            matching = any_of([_like("terms", name + kind, pattern) for kind in (TEXT, BARE)])
            return Clause(matching, any_of([matching, _beginning(name + LONG)]))
        case NumberRange() as wanted:
            return _numbers(name, wanted)
        case AddressRange(span):
            return _addresses("terms", name + TEXT, span)
        case TextRange() as wanted:
            texts = _within(wanted, "terms", name + TEXT, name + BARE)
            return Clause(texts.sure, any_of([texts.upper, _beginning(name + LONG_TEXT)]))
        case Present():
            return Clause(_between("terms", gt=name + TEXT, lt=name + END))
    return Clause(NOTHING)


def _whole_terms(name: str, text: str) -> list[str]:
    if len(text) > LONGEST:
        return [long_term(name, text, kind) for kind in (LONG_TEXT, LONG_BARE)]
    return [f"{name}{TEXT}{text}", f"{name}{BARE}{text}"]


def _numbers(name: str, wanted: NumberRange) -> Clause[Query]:
    """By the nearest double of each: numbers that share one with a bound may be on either side of it."""
    sure: Query = {"gte": name + NUMBER, "lt": name + LONG}
    possible = dict(sure)
    for bound, inside, edge, dropped in (
        (wanted.low, wanted.with_low, "gt", "gte"),
        (wanted.high, wanted.with_high, "lt", "lt"),
    ):
        if bound is None:
            continue
        double, term = as_double(bound), name + NUMBER + sortable(bound)
        known = is_sure(double) and double == bound
        del sure[dropped], possible[dropped]
        sure[edge + "e" if known and inside else edge] = term
        possible[edge if known and not inside else edge + "e"] = term
    return Clause(_between("terms", **sure), None if possible == sure else _between("terms", **possible))


def _addresses(field: str, head: str, span: Span) -> Clause[Query]:
    """Of IPv4 as they are written with dots; any with a colon is looked at."""
    parts = dotted(span) if span.version == 4 else ()
    inside = any_of([_regexp(field, f"{_literal(head)}{part}") for part in parts])
    return Clause(inside, any_of([inside, _like(field, head, "*:*")]))


def _regexp(field: str, pattern: str) -> Query:
    return {"regexp": {field: {"value": pattern, "flags": "NONE"}}}


def _literal(text: str) -> str:
    return "".join(character if character.isalnum() else f"\\{character}" for character in text)


def _within(wanted: TextRange, field: str, head: str, end: str) -> Clause[Query]:
    """Terms between the bounds, `head` before each; `end` is past all that begin so, "" is open."""
    sure: Query = {"gte": head, "lt": end} if end else {}
    possible = dict(sure)
    if wanted.low is not None:
        inner, outer = _bound(head, wanted.low, "gte" if wanted.with_low else "gt", is_low=True)
        sure, possible = _without(sure, "gte") | inner, _without(possible, "gte") | outer
    if wanted.high is not None:
        inner, outer = _bound(head, wanted.high, "lte" if wanted.with_high else "lt", is_low=False)
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


def _keyword(leaf: Leaf) -> Clause[Query]:
    field = leaf.field
    present, long = any_of([{"exists": {"field": field}}, _beginning(field + LONG)]), _beginning(field + LONG)
    match leaf.condition:
        case Equal(""):
            return Clause(none_of(present))
        case Equal(text, _, span):
            whole = Clause(
                {"term": {"terms": long_term(field, text)}} if len(text) > LONGEST else {"term": {field: text}}
            )
            return whole if span is None else _joined([whole, _addresses(field, "", span)])
        case Like(pattern) if not pattern.strip("*"):
            return Clause(EVERYTHING if pattern else none_of(present))
        case Like(pattern):
            matching = _like(field, "", pattern)
            return Clause(matching, any_of([matching, long]))
        case TextRange() as wanted:
            between = _within(wanted, field, "", "")
            empty = [none_of(present)] if wanted.takes_empty else []
            return Clause(any_of([between.sure, *empty]), any_of([between.upper, *empty, long]))
        case AddressRange(span):
            return _addresses(field, "", span)
        case Present():
            return Clause(present)
    return Clause(NOTHING)


_SPECIAL = re.compile(r"[*?\\]")


def _like(field: str, head: str, pattern: str) -> Query:
    """`head` as it is, then `pattern`."""
    parts = (text if wild else _SPECIAL.sub(r"\\\g<0>", text) for wild, text in parts_of(pattern))
    return {"wildcard": {field: {"value": _SPECIAL.sub(r"\\\g<0>", head) + "".join(parts)}}}


def _phrase(field: str, words: Sequence[str]) -> Query:
    """In a text that the engine split, or in the words of one that it did not."""
    plain = all(word.isascii() and len(word) <= LONGEST_BYTES for word in words)
    return any_of([_in_a_row(name, words) for name in ((field, "words") if plain else ("words",))])


def _in_a_row(field: str, words: Sequence[str]) -> Query:
    if len(words) == 1:
        return {"term": {field: index_word(words[0])}}
    return {"match_phrase": {field: {"query": " ".join(map(index_word, words)), "analyzer": "headwater_spaced"}}}


def _word_like(field: str, wanted: WordPattern) -> Clause[Query]:
    if wanted.within:
        return Clause(NOTHING, all_of([_like("words", "", f"{letter}*") for letter in wanted.alone()]))
    fields = (field, "words") if wanted.pattern.isascii() else ("words",)
    matching = any_of([_whole_word(name, wanted.pattern) for name in fields])
    cut = cut_beginning(beginning(wanted.pattern))
    return Clause(matching, any_of([matching, _beginning(cut, "words")]))


def _whole_word(field: str, pattern: str) -> Query:
    """A word that is not cut, or any at all."""
    wild, first = parts_of(pattern)[0]
    if field != "words" or not wild or not pattern.strip("*"):
        return _like(field, "", pattern)
    start = f"[^{CUT}]" if first == "?" else f"([^{CUT}].*)?"
    return _regexp(field, start + as_regex(pattern[1:], ".", _literal))


def _doubles(field: str, wanted: NumberRange) -> Query:
    """A range over a field of doubles. To the engine -0.0 is less than 0.0, and no number is infinite."""
    bounds = {}
    if wanted.low is not None:
        low = as_double(wanted.low)
        meets = wanted.with_low if low == wanted.low else low > wanted.low
        if low == math.inf:
            return NOTHING
        bounds["gte" if meets else "gt"] = (-0.0 if meets else 0.0) if low == 0 else low
    if wanted.high is not None:
        high = as_double(wanted.high)
        meets = wanted.with_high if high == wanted.high else high < wanted.high
        if high == -math.inf:
            return NOTHING
        bounds["lte" if meets else "lt"] = (0.0 if meets else -0.0) if high == 0 else high
    bounds = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
    if wanted.low is not None and wanted.high is not None and wanted.low > wanted.high:
        return NOTHING
    return _between(field, **bounds) if bounds else {"exists": {"field": field}}


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
