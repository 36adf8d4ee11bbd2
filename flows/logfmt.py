"""logfmt: `key=value key="quoted value" flag` -> its pairs, or None where the line is not of that form.

Plain string methods only, so the cost grows with the length of the line and not faster.
"""

from __future__ import annotations

from typing import Any

_BACKSLASH, _QUOTE = "\x01", "\x02"  # stand for escapes while the line is split at its quotes
MIN_PAIRS = 2


def parse(line: str, limit: int) -> dict[str, Any] | None:
    """At least two pairs, and no more bare words than pairs. Numbers that read the same both ways become numbers."""
    if '"' not in line:
        return _enough(_unquoted(line.split()), limit)
    escaped = "\\" in line
    if escaped:
        if _BACKSLASH in line or _QUOTE in line:
            return None
        line = line.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
    pieces = line.split('"')
    if len(pieces) % 2 == 0:
        return None  # a quote is left open
    pairs: list[tuple[str, str | None]] = []
    for number in range(0, len(pieces) - 1, 2):
        words = pieces[number].split()
        if not words or not words[-1].endswith("=") or pieces[number].endswith(" "):
            return None  # a quote that does not open a value
        pairs += _unquoted(words[:-1])
        value = pieces[number + 1]
        pairs.append((words[-1][:-1], _plain(value) if escaped else value))
    return _enough(pairs + _unquoted(pieces[-1].split()), limit)


def _plain(value: str) -> str:
    return value.replace("\\n", "\n").replace("\\t", "\t").replace(_QUOTE, '"').replace(_BACKSLASH, "\\")


def _unquoted(words: list[str]) -> list[tuple[str, str | None]]:
    parts = [word.partition("=") for word in words]
    return [(key, value if equals else None) for key, equals, value in parts]


def _enough(pairs: list[tuple[str, str | None]], limit: int) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    bare = 0
    for key, value in pairs:
        if value is None:
            bare += 1
        elif not key:
            return None
        elif len(found) < limit:
            found[key] = number(value) if value[:1] in "-0123456789" and value else value
    return found if len(found) >= MIN_PAIRS and bare <= len(found) else None


def number(text: str) -> str | int | float:
    """The number that `text` writes, when it would be written back the same; otherwise the text."""
    if len(text) > 18:
        return text
    try:
        if text.isdecimal() or text[1:].isdecimal():
            value: int | float = int(text)
        elif "." in text:
            value = float(text)
        else:
            return text
    except ValueError:
        return text
    return value if str(value) == text else text
