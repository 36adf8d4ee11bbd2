"""Partial JSON: a text that begins as a JSON object and is damaged -> the fields before the damage.

The reader accepts `NaN` and `Infinity` (as texts), lone surrogates, commas and words behind the end, single quotes,
Python's `None` and `True`, escapes that JSON does not have (`\\x22`), and an object that is cut off at any place. A
string that is cut keeps its beginning. A number at the cut is left out. The cost is linear in the length of the text.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*+)("?)|'((?:[^'\\]|\\.)*+)('?)|([{}\[\],:])|(-?[0-9][0-9.eE+-]*+|-?[A-Za-z_$][\w$.-]*+))""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS: dict[str, Any] = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_ODD = frozenset(("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "undefined"))
_LONGEST_NUMBER = 40

_decoder = json.JSONDecoder(strict=False, parse_constant=lambda name: name)


def parse(text: str, depth: int) -> dict[str, Any] | None:
    """The readable part of the object at the start of `text`; None if not even one key can be read.

    The reader stops at an object or list that is nested deeper than `depth`.
    """
    text = text.lstrip()
    if not text.startswith("{"):
        return None
    found: Any = None
    try:
        found, _ = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        found = _Reader(text, depth).object()
    return _clean(found, depth) if found else None


def _clean(value: Any, depth: int) -> Any:
    """`value` without lone surrogates, which are not valid Unicode."""
    if type(value) is str:
        return value if value.isascii() else _joined(value)
    if depth < 0:
        return None
    if type(value) is dict:
        return {_clean(key, depth): _clean(inner, depth - 1) for key, inner in value.items()}
    if type(value) is list:
        return [_clean(inner, depth - 1) for inner in value]
    return value


def _joined(text: str) -> str:
    if _LONE.search(text) is None:
        return text
    return _LONE.sub("\ufffd", text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


class _Damage(Exception):
    """The rest of the text cannot be read."""


class _Reader:
    """Reads one object, token by token. At the damage the containers hold all values before it."""

    def __init__(self, text: str, depth: int) -> None:
        self._text, self._depth, self._at = text, depth, 0

    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._next()
        with contextlib.suppress(_Damage):
            self._pairs(found, self._depth)
        return found

    def _next(self) -> tuple[str, str, bool]:
        """The next token as (kind, text, whole): kind is "text", "mark", or "word"; whole is False if it was cut."""
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise _Damage
        self._at = match.end()
        double, double_end, single, single_end, mark, word = match.groups()
        if mark is not None:
            return "mark", mark, True
        if word is not None:
            return "word", word, self._at < len(self._text)
        if double is not None:
            return "text", _unescaped(double), double_end == '"'
        return "text", _unescaped(single), single_end == "'"

    def _pairs(self, found: dict[str, Any], depth: int) -> None:
        while True:
            kind, key, whole = self._next()
            if (kind, key) == ("mark", "}"):
                return
            if (kind, key) == ("mark", ","):
                continue
            if kind == "mark" or not whole or (kind == "word" and not _is_key(key)):
                raise _Damage
            if self._next()[:2] != ("mark", ":"):
                raise _Damage
            self._value(lambda value, key=key: found.__setitem__(key, value), depth)

    def _items(self, found: list[Any], depth: int) -> None:
        while True:
            start = self._at
            kind, mark, _ = self._next()
            if (kind, mark) == ("mark", "]"):
                return
            if (kind, mark) != ("mark", ","):
                self._at = start
                self._value(found.append, depth)

    def _value(self, keep: Any, depth: int) -> None:
        kind, text, whole = self._next()
        if kind == "text":
            keep(text)
            if not whole:
                raise _Damage
        elif kind == "word":
            keep(_word(text, whole))
        elif text in "{[" and depth > 0:
            if text == "{":
                inner: dict[str, Any] = {}
                keep(inner)
                self._pairs(inner, depth - 1)
            else:
                items: list[Any] = []
                keep(items)
                self._items(items, depth - 1)
        else:
            raise _Damage


def _is_key(word: str) -> bool:
    """True if a word without quotes may be a key, as JavaScript prints it.

    A word with a dot is no key: `{main.py:12}` is a place in source code.
    """
    return "." not in word


def _word(word: str, whole: bool) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if word in _ODD:
        return word
    if word.lstrip("-")[:1] not in "0123456789" or not whole:
        raise _Damage
    if len(word) > _LONGEST_NUMBER:
        return word
    try:
        return float(word) if "." in word or "e" in word or "E" in word else int(word)
    except ValueError:
        return word


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    four, two, one = match.groups()
    return chr(int(four or two, 16)) if one is None else _SHORT.get(one, one)
