"""Conditions of a query -> a query of the hot index for the blocks that may hold a row that matches.

A block is left out only when none of its rows can match: what the index cannot tell is every block (a negation, an
absent or empty value). `match` decides by row. No text of a user is ever parsed here.
"""

from __future__ import annotations

import math

from tantivy import Query

from contracts.messages import Kind
from contracts.query import Node
from lakehouse.conditions import (
    ATTRIBUTES,
    TIMESTAMP,
    AddressRange,
    Always,
    AnyOf,
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
from lakehouse.hot.tantivy import regex
from lakehouse.hot.tantivy.clause import all_of, any_of, overlapping
from lakehouse.hot.tantivy.schema import schema
from lakehouse.hot.tantivy.terms import (
    BARE,
    ESCAPES,
    LONG,
    MARKED,
    NUMBER,
    TEXT,
    WORD,
    escaped,
    kept,
    name_of,
    number_term,
    valued,
    word_term,
)
from text.addresses import Span, dotted
from text.digits import hex_between, integers_between
from text.numbers import EXACT, Number, as_double, sortable_bits
from text.wildcards import as_regex, beginning
from text.words import LONGEST_BYTES, WordPattern, cut_beginning

_ANY_ESCAPED = f"(?:[{ESCAPES}]{regex.ANY}|[^{ESCAPES}])"  # one character as `terms` writes it
_NOT_EMPTY = regex.ANY + regex.REST
_COLONS = "[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*"  # an IPv6 address may be
_OTHER_NUMBERS = "\\-?[0-9]+(?:\\.[0-9]+)?[eE][+\\-]?[0-9]+|\\-?[0-9]+\\.[0-9]+|\\-0"  # of texts
_SEVERITIES = 24
_LONGEST_BOUND = 64  # of a bound that is written out: each character is one more expression to compile, about 1 ms
_LARGEST_IN_TEXT = 10**41


def build(node: Node, kind: Kind) -> Query:
    """`node` as a query for blocks of `kind`.

    Raises:
        QueryError: See `conditions.compiled`.
    """
    return _blocks(compiled(node, kind))


def _blocks(tree: Tree) -> Query:
    match tree:
        case Every(parts):
            return all_of(map(_blocks, parts))
        case AnyOf(parts):
            return any_of(map(_blocks, parts))
        case NoneOf():
            return Query.all_query()
    return _leaf(tree)


def _leaf(leaf: Leaf) -> Query:
    name = name_of(leaf.key) if leaf.field == ATTRIBUTES else leaf.field
    if leaf.field != ATTRIBUTES and _takes_empty(leaf):
        return Query.all_query()
    match leaf.condition:
        case Always():
            return Query.all_query()
        case Never():
            return Query.empty_query()
        case Phrase(words):
            return all_of(_word(word) for word in set(words))
        case WordLike(pattern):
            return _word_like(pattern)
        case NumberRange() as wanted if leaf.field == TIMESTAMP:
            return overlapping(*wanted.integers())
        case NumberRange() as wanted if leaf.field != ATTRIBUTES:
            return _severities(wanted) if leaf.field == "severity_number" else Query.all_query()
        case Present() if leaf.field in MARKED:
            return _exactly(leaf.field)
    return _value(leaf, name)


def _takes_empty(leaf: Leaf) -> bool:
    """Whether a field that is empty, of which the index has nothing, may match."""
    match leaf.condition:
        case Equal(text):
            return not text
        case Like(pattern):
            return not pattern.strip("*")
        case TextRange() as wanted:
            return wanted.takes_empty
        case Present():
            return leaf.field == "body"
    return False


def _value(leaf: Leaf, name: str) -> Query:
    head = regex.literal(name)
    match leaf.condition:
        case Equal(text, number, span):
            queries = [_exactly(*(valued(name, kind, text) for kind in (TEXT, BARE)))]
            queries += [] if number is None else [_numbers(head, NumberRange(number, number))]
            return any_of([*queries, *([] if span is None else [_addresses(head, span)])])
        case Like(pattern):
            whole = f"{head}[{TEXT}{BARE}]{as_regex(pattern, _ANY_ESCAPED, _written)}"
            return any_of([_regex("terms", whole), _long(head, kept(beginning(pattern)))])
        case TextRange():
            return any_of([_texts(head + TEXT, leaf.condition), _long(head)])
        case NumberRange():
            return _numbers(head, leaf.condition)
        case AddressRange(span):
            return _addresses(head, span)
    return any_of([_regex("terms", f"{head}[{TEXT}{BARE}]{_NOT_EMPTY}"), _long(head)])


def _written(text: str) -> str:
    return regex.literal(escaped(text))


def _exactly(*terms: str) -> Query:
    return any_of(Query.term_query(schema(), "terms", term) for term in terms)


def _regex(field: str, pattern: str) -> Query:
    try:
        return Query.regex_query(schema(), field, pattern)
    except ValueError:  # too complex for the engine: any block may
        return Query.all_query()


def _long(head: str, start: str = "") -> Query:
    """Values that are too long for a term, and begin so."""
    return _regex("terms", f"{head}{LONG}{regex.literal(start)}{regex.REST}")


def _numbers(head: str, wanted: NumberRange) -> Query:
    """Integers by their text, all other numbers by the bits of their double; of texts, what may be one."""
    low, high = wanted.low, wanted.high
    first = 0 if low is None else sortable_bits(as_double(low))
    last = (1 << 64) - 1 if high is None else sortable_bits(as_double(high))
    if first > last:
        return Query.empty_query()
    parts = [f"{NUMBER}{hex_between(first, last)}"]
    parts += [f"{BARE}{integers}" for integers in _integers(low, high, EXACT)]
    parts += [f"{TEXT}{integers}(?:\\.0+)?" for integers in _integers(low, high, _LARGEST_IN_TEXT)]
    return _regex("terms", f"{head}(?:{'|'.join(parts)}|{TEXT}(?:{_OTHER_NUMBERS}))")


def _integers(low: Number | None, high: Number | None, most: int) -> list[str]:
    """A pattern of the integers between, as JSON writes those that are not above `most`."""
    first = None if low is None else math.ceil(max(-most, min(low, most + 1)))
    last = None if high is None else math.floor(min(most, max(high, -most - 1)))
    if first is not None and last is not None and first > last:
        return []
    return [integers_between(first, last)]


def _addresses(head: str, span: Span) -> Query:
    parts = [*(dotted(span) if span.version == 4 else ()), _COLONS]
    return _regex("terms", f"{head}{TEXT}(?:{'|'.join(parts)})")


def _texts(head: str, wanted: TextRange) -> Query:
    sides = []
    if wanted.low is not None:
        bound, whole = _bound(wanted.low)
        sides.append(list(regex.above(bound, wanted.with_low or not whole)))
    if wanted.high is not None:
        bound, whole = _bound(wanted.high)
        beyond = [] if whole else [regex.literal(bound) + regex.REST]
        sides.append([*regex.below(bound, wanted.with_high or not whole), *beyond])
    if not sides:
        return _regex("terms", head + regex.REST)
    return all_of(any_of(_regex("terms", head + pattern) for pattern in patterns) for patterns in sides)


def _bound(text: str) -> tuple[str, bool]:
    """As much of a bound as is written out, and whether that is all of it."""
    whole = escaped(text)
    return (whole, True) if len(whole) <= _LONGEST_BOUND else (whole[:_LONGEST_BOUND].rstrip(ESCAPES), False)


def _word(word: str) -> Query:
    whole = [Query.term_query(schema(), "words", word)] if word.isascii() and len(word) <= LONGEST_BYTES else []
    return any_of([*whole, _exactly(word_term(word))])


def _word_like(wanted: WordPattern) -> Query:
    if wanted.within:
        return all_of(_regex("terms", f"{WORD}{regex.literal(letter)}{regex.REST}") for letter in wanted.alone())
    pattern = as_regex(wanted.pattern, regex.ANY, regex.literal)
    cut = regex.literal(cut_beginning(beginning(wanted.pattern)))
    plain = [_regex("words", pattern)] if wanted.pattern.isascii() else []
    return any_of([*plain, _regex("terms", f"{WORD}(?:{pattern}|{cut}{regex.REST})")])


def _severities(wanted: NumberRange) -> Query:
    low, high = wanted.integers()
    known = range(max(low or 0, 0), min(_SEVERITIES if high is None else high, _SEVERITIES) + 1)
    return _exactly(*(number_term("severity_number", number) for number in known))
