"""logfmt: `key=value key="quoted value" flag` -> its pairs, or None if the line does not have this form.

The reader uses only plain string methods, so its cost is linear in the line. `tolerant` also reads single quotes and a
quote that is never closed.
"""

from __future__ import annotations

import re
from typing import Any

_BACKSLASH, _QUOTE = "\x01", "\x02"  # stand for escapes while the line is split at its quotes
_WORD = re.compile(r"\S+|(?=\s)")
_NUMERIC = frozenset("-0123456789")
MIN_PAIRS = 2

Value = str | int | float


def parse(line: str, least: int = MIN_PAIRS) -> dict[str, Any] | None:
    """The pairs of `line`; None if there are fewer than `least` pairs, or more bare words than pairs.

    A value becomes a number if the number, written back, gives the same text.
    """
    if "=" not in line:
        return None
    if "'" in line and "='" in line:
        return tolerant(line, least)
    pairs: dict[str, Any] = {}
    if '"' not in line:
        bare = _take(line.split(), pairs)
    elif "\\" in line:
        if _BACKSLASH in line or _QUOTE in line:
            return tolerant(line, least)
        bare = _take_quoted(line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE), pairs)
        pairs = {key: _plain(value) if type(value) is str else value for key, value in pairs.items()}
    else:
        bare = _take_quoted(line, pairs)
    if bare < 0:
        return tolerant(line, least)
    return pairs if len(pairs) >= least and bare <= len(pairs) and "" not in pairs else None


def tolerant(line: str, least: int = MIN_PAIRS) -> dict[str, Any] | None:
    """As `parse`, but slower; also reads values in single quotes, quotes within words and a last quote left open."""
    if line.count("=") < least:
        return None
    pairs: dict[str, Any] = {}
    at, bare, end = 0, 0, len(line)
    while at < end:
        equals = line.find("=", at)
        words = line[at : end if equals < 0 else equals].split()
        if equals < 0:
            bare += len(words)
            break
        if not words or line[equals - 1].isspace() or '"' in words[-1]:
            bare += len(words) + 1
            at = equals + 1
            continue
        bare += len(words) - 1
        quote = line[equals + 1 : equals + 2]
        if quote in ('"', "'"):
            value, at = _quoted(line, equals + 2, quote)
            pairs[words[-1]] = value
        else:
            word = _WORD.match(line, equals + 1)
            pairs[words[-1]] = number(word[0]) if word and word[0] else ""
            at = word.end() if word else end
    return pairs if len(pairs) >= least and bare <= len(pairs) else None


def _quoted(line: str, start: int, quote: str) -> tuple[str, int]:
    """(text, end): the text from `start` to the closing quote that is not escaped, or to the end of the line."""
    at = start
    while (at := line.find(quote, at)) >= 0:
        before = at
        while before > start and line[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            break
        at += 1
    text, end = (line[start:], len(line)) if at < 0 else (line[start:at], at + 1)
    if "\\" in text:
        text = _plain(text.replace("\\\\", _BACKSLASH).replace(f"\\{quote}", quote))
    return text, end


def _take_quoted(line: str, pairs: dict[str, Any]) -> int:
    """Add the pairs of a line with quotes to `pairs`; return the number of bare words.

    The quotes must split the line in turn into words, of which the last is `key=`, and the value of this key. Otherwise
    the result is -1.
    """
    pieces = line.split('"')
    if len(pieces) % 2 == 0:
        return -1
    bare = 0
    for at in range(0, len(pieces) - 1, 2):
        if pieces[at][-1:] != "=":
            return -1
        words = pieces[at].split()
        key = words.pop()
        if words:
            bare += _take(words, pairs)
        pairs[key[:-1]] = pieces[at + 1]
    return bare + _take(pieces[-1].split(), pairs)


def _take(words: list[str], pairs: dict[str, Any]) -> int:
    """Add the `key=value` words to `pairs`; return the number of all other words."""
    bare = 0
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            # Letters sort after ":", so most values take one cheap comparison.
            if value > ":" or value[:1] not in _NUMERIC:
                pairs[key] = value
            elif value.isdecimal() and value[0] != "0" and len(value) < 19 and value.isascii():
                pairs[key] = int(value)
            else:
                pairs[key] = number(value)
        else:
            bare += 1
    return bare


def _plain(value: str) -> str:
    return value.replace("\\n", "\n").replace("\\t", "\t").replace(_QUOTE, '"').replace(_BACKSLASH, "\\")


def number(text: str) -> Value:
    """`text` as a number, if the number written back gives the same text; otherwise `text`."""
    if len(text) > 18:
        return text
    if text.isdecimal():
        return int(text) if (text[0] != "0" or text == "0") and text.isascii() else text
    try:
        value: Value = float(text) if "." in text else int(text)
    except ValueError:
        return text
    return value if str(value) == text else text
