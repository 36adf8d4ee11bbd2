r"""Conditions on one attribute -> SQL over the canonical JSON text of the column `attributes`.

The text is flat with sorted keys and no spaces: `{"a":"x","b":1.5}`. A quote inside a string is escaped, so `{"key":`
or `,"key":` stands nowhere but before that key's value.
"""

from __future__ import annotations

import msgspec

from contracts.errors import QueryError
from contracts.query import Exists, Range, Term, Wildcard
from lakehouse.sql.literals import between, double_literal, text_literal
from lakehouse.sql.text import escape, number_of, split_wildcard, whole_pattern

_ANY = r'(?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])'  # one character inside a JSON string
_STRING = rf'"({_ANY}*)"'
_LIST = rf'\[(?:[^"\[\]{{}}]|"{_ANY}*")*\]'
_BARE = rf"(true|false|-?[0-9][-+.0-9eE]*|{_LIST}|\{{\}})"  # null is an absent value
_NUMBER = r"(-?[0-9][-+.0-9eE]*)"
_ESCAPES = {'\\"': '"', "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b", "\\f": "\f"}
# The other control characters stay as they are written, "\\u0001": they only matter to the order of a text range.


def _json(text: str) -> str:
    """`text` as it stands in canonical JSON, with its quotes."""
    try:
        return msgspec.json.encode(text).decode()
    except UnicodeEncodeError as error:
        raise QueryError("a value of the query is not valid Unicode", code="bad_value") from error


def sql(node: Term | Wildcard | Range | Exists, key: str) -> str:
    """The condition `node` on the attribute `key`; never NULL."""
    if isinstance(node, Exists):
        return _exists(key)
    if isinstance(node, Term):
        return _equals(key, node.value)
    if isinstance(node, Wildcard):
        return _like(key, node.pattern)
    return _within(key, node)


def _exists(key: str) -> str:
    head = f"{_json(key)}:"
    present = _contains("{" + head, "," + head)
    empty = _contains(*(f"{before}{head}{value}" for before in "{," for value in ('""', "null")))
    return f"({present} AND NOT {empty})"


def _equals(key: str, value: str) -> str:
    head = f"{_json(key)}:"
    texts = [f"{before}{head}{_json(value)}" for before in "{,"]
    if _is_bare(value):
        texts += [f"{before}{head}{value}{after}" for before in "{," for after in ",}"]
    return _contains(*texts)


def _is_bare(value: str) -> bool:
    """Is `value` the JSON form of something other than text?"""
    try:
        read = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return False
    return read is not None and not isinstance(read, str) and value.strip() == value


def _contains(*texts: str) -> str:
    return f"({' OR '.join(f'strpos(attributes, {text_literal(text)}) > 0' for text in texts)})"


def _like(key: str, pattern: str) -> str:
    inside = ""
    for wild, text in split_wildcard(pattern):
        inside += (f"{_ANY}*" if text == "*" else _ANY) if wild else escape(_json(text)[1:-1])
    string = rf'[{{,]{escape(_json(key))}:"{inside}"'
    bare = f"regexp_match(attributes, {text_literal(rf'[{{,]{escape(_json(key))}:{_BARE}[,}}]')})[1]"
    return (
        f"(regexp_like(attributes, {text_literal(string)}) "
        f"OR coalesce(regexp_like({bare}, {text_literal(whole_pattern(pattern))}), FALSE))"
    )


def _within(key: str, node: Range) -> str:
    bounds = [bound for bound in (node.low, node.high) if bound is not None]
    if bounds and not any(isinstance(bound, str) for bound in bounds):
        found = f"try_cast({_extract(key, _NUMBER + '[,}]')} AS DOUBLE)"
        inside = between(node, found, lambda bound: double_literal(number_of(bound) or 0.0))
    else:
        found = _unescaped(_extract(key, _STRING))
        inside = between(node, found, lambda bound: text_literal(str(bound)))
    head = f"{_json(key)}:"
    return f"({_contains('{' + head, ',' + head)} AND coalesce({inside if bounds else f'{found} IS NOT NULL'}, FALSE))"


def _extract(key: str, value_pattern: str) -> str:
    return f"regexp_match(attributes, {text_literal(f'[{{,]{escape(_json(key))}:{value_pattern}')})[1]"


def _unescaped(text: str) -> str:
    """The text inside a JSON string as it was before escaping. Backslash pairs are set aside as "\\" and U+0001,
    which canonical JSON never holds raw, so that no later step takes them for the start of an escape."""
    sql = f"replace({text}, {text_literal(chr(92) * 2)}, {text_literal(chr(92) + chr(1))})"
    for escaped, raw in _ESCAPES.items():
        sql = f"replace({sql}, {text_literal(escaped)}, {text_literal(raw)})"
    return f"replace({sql}, {text_literal(chr(92) + chr(1))}, {text_literal(chr(92))})"


def value_sql(key: str) -> str:
    """The attribute's value as text ("" when absent): strings as they are, the rest in JSON form."""
    string, bare = _unescaped(_extract(key, _STRING)), _extract(key, _BARE + "[,}]")
    return f"coalesce({string}, {bare}, '')"
