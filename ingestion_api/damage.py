"""Damage in words: a line that cannot be decoded -> (code, message) with the field nearest to the damage."""

from __future__ import annotations

import re

_PLACE = re.compile(r"\(byte (\d+)\)")
_PATH = re.compile(r" - at `\$\.(\w+)")
_KEY = re.compile(rb'"((?:[^"\\]|\\.){1,80})"\s*:')
_NOT_NUMBERS = re.compile(rb":\s*(-?(?:NaN|Infinity|inf|nan))\b")
_SURROGATES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>\\u[dD][89a-fA-F])")


def not_json(line: bytes, reason: str) -> tuple[str, str]:
    """For a line that breaks JSON's grammar; `reason` is the decoder's message."""
    place = _PLACE.search(reason)
    position = int(place.group(1)) if place else len(line)
    if (found := _NOT_NUMBERS.search(line)) and found.start() <= position:
        word = found.group(1).decode()
        return "invalid_json", f"{_field(line, found.end())}{word} is not JSON: omit the field or send a number"
    found = next((match for match in _SURROGATES.finditer(line) if match["lone"]), None)
    if found and found.start() <= position and "invalid character" not in reason:
        return "invalid_json", f"{_field(line, found.start())}a lone surrogate is not text: send surrogates in pairs"
    where = _field(line, position)
    return (
        "invalid_json",
        f"{where}{reason.split(' (byte')[0]} at byte {position}: send one JSON object for each record",
    )


def not_utf8(line: bytes) -> tuple[str, str]:
    """For a line that is not UTF-8."""
    try:
        line.decode()
        position = len(line)
    except UnicodeDecodeError as error:
        position = error.start
    return "invalid_utf8", f"{_field(line, position)}not UTF-8 at byte {position}: send text as UTF-8"


def out_of_range(reason: str) -> tuple[str, str]:
    """For a number that JSON's grammar allows but no number type holds."""
    path = _PATH.search(reason)
    text = reason.split(" - at")[0]
    where = f'field "{path.group(1)}": ' if path else ""
    return "invalid_value", f"{where}{text[:1].lower()}{text[1:200]}: send a finite number, or text"


def _field(line: bytes, position: int) -> str:
    """The last key before `position`, as the begin of a message; "" if there is none."""
    keys = _KEY.findall(line, 0, position)
    return f'field "{keys[-1].decode("utf-8", "replace")}": ' if keys else ""
