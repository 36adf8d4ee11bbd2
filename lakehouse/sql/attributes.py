r"""Conditions on one attribute -> SQL over the canonical JSON text of the column `attributes`.

The text has sorted keys and no spaces: `{"a":"x","b":1.5}`. A quote inside a string is escaped, so in a *simple* text,
one without lists and objects in it, `{"key":` or `,"key":` occurs only before the value of that key. For other texts
SQL only says whether the value may match.
"""

from __future__ import annotations

import re

import msgspec

from lakehouse.conditions import (
    AddressRange,
    Clause,
    Condition,
    Equal,
    Like,
    Never,
    NumberRange,
    Present,
    TextRange,
)
from lakehouse.sql.literals import FALSE, TRUE, between, double_bounds, double_literal, text_literal
from lakehouse.sql.text import escape, matches, whole_pattern
from text.addresses import Span, dotted
from text.numbers import LARGEST, PATTERN, as_double, is_sure
from text.wildcards import as_regex, literals

_ANY = r'(?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])'  # one character inside a JSON string
_STRING = rf'"({_ANY}*)"'
_BARE = r"(true|false|-?[0-9][-+.0-9eE]*)"  # null is an absent value
_LIST = rf'\[(?:[^"\[\]{{}}]|"{_ANY}*")*\]'
_NESTED = matches("attributes", r"[\[:,][\[{]")
_ESCAPES = {'\\"': '"', "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b", "\\f": "\f"}
_PLAIN = re.compile(r"[^\"\\\x00-\x1f]*")


def _json(text: str) -> str:
    """`text` as it stands in canonical JSON, with its quotes."""
    return msgspec.json.encode(text).decode()


def written(condition: Condition, key: str) -> Clause[str]:
    """The condition on the attribute `key`; neither part is ever NULL."""
    if isinstance(condition, Never):
        return Clause(FALSE)
    sure, possible, held = _simple(condition, key)
    may = [f"strpos(attributes, {text_literal(part)}) > 0" for part in (_last(key), *held) if part]
    return Clause(f"({sure} AND NOT {_NESTED})", f"({' AND '.join([*may, f'({possible} OR {_NESTED})'])})")


def _last(key: str) -> str:
    """A text that every row with a value of the attribute contains, also if the value is in an object of a list."""
    name = key.rpartition(".")[2]
    return name if _PLAIN.fullmatch(name) else ""


def _simple(condition: Condition, key: str) -> tuple[str, str, list[str]]:
    """For simple texts: the conditions of sure and of possible matches; and texts that every matching row contains."""
    match condition:
        case Equal(_, number) if number is not None:
            return _simple(NumberRange(number, number), key)
        case Equal(text, _, span):
            if span is None:
                same = _same(key, text)
                return same, same, [text] if _PLAIN.fullmatch(text) else []
            sure, possible = _addresses(key, span)
            return f"({_same(key, text)} OR {sure})", f"({_same(key, text)} OR {possible})", []
        case Like(pattern):
            like = _like(key, pattern)
            return like, like, [text for text in literals(pattern) if _PLAIN.fullmatch(text)]
        case TextRange():
            inside = _texts(key, condition)
            return inside, f"({inside} OR {_at(key, _ESCAPED)})", []
        case NumberRange():
            return *_numbers(key, condition), []
        case AddressRange(span):
            return *_addresses(key, span), []
        case Present():
            present = _present(key)
            return present, present, []
    return TRUE, TRUE, []


_ESCAPED = r'"[^"\\]*\\'  # a string with an escape in it


def _contains(*texts: str) -> str:
    return f"({' OR '.join(f'strpos(attributes, {text_literal(text)}) > 0' for text in texts)})"


def _pattern(key: str, value_pattern: str) -> str:
    return f"[{{,]{escape(_json(key))}:{value_pattern}"


def _at(key: str, value_pattern: str) -> str:
    return matches("attributes", _pattern(key, value_pattern))


def _present(key: str) -> str:
    head = f"{_json(key)}:"
    empty = _contains(*(f"{before}{head}{value}" for before in "{," for value in ('""', "null")))
    return f"({_contains('{' + head, ',' + head)} AND NOT {empty})"


def _same(key: str, text: str) -> str:
    head = f"{_json(key)}:"
    texts = [f"{before}{head}{_json(text)}" for before in "{,"]
    if text in ("true", "false"):
        texts += [f"{before}{head}{text}{after}" for before in "{," for after in ",}"]
    return _contains(*texts)


def _like(key: str, pattern: str) -> str:
    inside = as_regex(pattern, _ANY, lambda text: escape(_json(text)[1:-1]))
    bare = _extract(key, f"{_BARE}[,}}]")
    return f"({_at(key, f'{chr(34)}{inside}{chr(34)}')} OR {matches(bare, whole_pattern(pattern))} IS TRUE)"


def _texts(key: str, wanted: TextRange) -> str:
    found = _extract(key, r'"([^"\\]*)"')
    inside = between(found, wanted.low, wanted.high, wanted.with_low, wanted.with_high)
    return f"({inside if inside != TRUE else f'{found} IS NOT NULL'}) IS TRUE"


def _numbers(key: str, wanted: NumberRange) -> tuple[str, str]:
    """Sure and possible matches of a number or a text that is one.

    The SQL uses `IS TRUE` instead of `coalesce`, as the engine evaluates the first argument of `coalesce` twice.
    """
    head = _json(key)
    after = f"split_part(concat(',', substr(attributes, 2)), {text_literal(f',{head}:')}, 2)"
    bare = f"try_cast(rtrim(split_part({after}, ',', 1), '}}') AS DOUBLE)"
    quoted = f"try_cast(regexp_match({after}, {text_literal(f'^{chr(34)}({PATTERN}){chr(34)}')})[1] AS DOUBLE)"
    is_quoted = _contains(f'{head}:"')
    sure, possible = (
        f"({_inside(bare, wanted, surely)} OR ({is_quoted} AND {_inside(quoted, wanted, surely)}))"
        for surely in (True, False)
    )
    return sure, possible


def _inside(number: str, wanted: NumberRange, surely: bool) -> str:
    """The condition that `number`, SQL of a double or NULL, lies in the range; never NULL."""
    low, high = wanted.low, wanted.high
    if (
        low is not None
        and low == high
        and low != 0
        and wanted.with_low
        and wanted.with_high
        and is_sure(as_double(low))
    ):
        return f"({number} = {double_literal(as_double(low))}) IS TRUE"
    is_there, *bounds = double_bounds(number, wanted, surely)
    finite = [f"abs({number}) <= {LARGEST!r}"] if surely else []
    return f"({' AND '.join([*bounds, *finite] or [is_there])}) IS TRUE"


def _addresses(key: str, span: Span) -> tuple[str, str]:
    colons = _at(key, r'"[0-9A-Fa-f.]*:')
    if span.version == 6:
        return FALSE, colons
    inside = _at(key, f'"(?:{"|".join(parts)})"') if (parts := dotted(span)) else FALSE
    return inside, f"({inside} OR {colons})"


def _extract(key: str, value_pattern: str) -> str:
    return f"regexp_match(attributes, {text_literal(_pattern(key, value_pattern))})[1]"


def _unescaped(text: str) -> str:
    """The text inside a JSON string as it was before escaping. Backslash pairs are set aside as "\\" and U+0001,
    which canonical JSON never holds raw, so that no later step takes them for the start of an escape."""
    sql = f"replace({text}, {text_literal(chr(92) * 2)}, {text_literal(chr(92) + chr(1))})"
    for escaped, raw in _ESCAPES.items():
        sql = f"replace({sql}, {text_literal(escaped)}, {text_literal(raw)})"
    return f"replace({sql}, {text_literal(chr(92) + chr(1))}, {text_literal(chr(92))})"


def value_sql(key: str) -> str:
    """The attribute's value as text ("" when absent): strings as they are, the rest in JSON form."""
    string, bare = _unescaped(_extract(key, _STRING)), _extract(
        key, rf"(true|false|-?[0-9][-+.0-9eE]*|{_LIST}|\{{\}})[,}}]"
    )
    return f"coalesce({string}, {bare}, '')"
