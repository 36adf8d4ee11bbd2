"""logfmt: `key=value key="quoted value" flag` -> its pairs, or None where the line is not of that form.

Plain string methods only, so the cost grows with the length of the line and not faster.
"""

from __future__ import annotations

from typing import Any

_BACKSLASH, _QUOTE = "\x01", "\x02"  # stand for escapes while the line is split at its quotes
_NUMERIC = frozenset("-0123456789")
MIN_PAIRS = 2

Value = str | int | float


def parse(line: str) -> dict[str, Any] | None:
    """At least two pairs, and no more bare words than pairs. Numbers that read the same both ways become numbers."""
    pairs: dict[str, Any] = {}
    if '"' not in line:
        bare = _take(line.split(), pairs)
    elif "\\" in line:
        if _BACKSLASH in line or _QUOTE in line:
            return None
        bare = _take_quoted(line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE), pairs)
        pairs = {key: _plain(value) if type(value) is str else value for key, value in pairs.items()}
    else:
        bare = _take_quoted(line, pairs)
    return pairs if len(pairs) >= MIN_PAIRS and 0 <= bare <= len(pairs) and "" not in pairs else None


def _take_quoted(line: str, pairs: dict[str, Any]) -> int:
    """Pieces between quotes are, in turn, words and a value whose key ended the words; -1 when they are not."""
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
    """Add `key=value` words; the number of the others."""
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
    """The number that `text` writes, when it would be written back the same; otherwise the text."""
    if len(text) > 18:
        return text
    if text.isdecimal():
        return int(text) if (text[0] != "0" or text == "0") and text.isascii() else text
    try:
        value: Value = float(text) if "." in text else int(text)
    except ValueError:
        return text
    return value if str(value) == text else text
