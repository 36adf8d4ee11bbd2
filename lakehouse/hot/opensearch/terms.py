r"""Attributes -> the terms of one keyword field, so that no attribute ever becomes a field of the index.

    @user\x7fu-42              a text
    @http.status\x80200        any other JSON value
    @http.status\x81c069...    a number, or a text that is one, once more, as 16 hex digits that sort as numbers do
    @stack\x82T5d41...         what is longer than `LONGEST`: T (text) or B, and a hash: found as a whole, and named
    producer\x82T5d41...       a keyword field whose value is that long, and which then has no value of its own

Texts, wildcards and ranges of any attribute are then questions to one ordered dictionary of terms. What they mean for
the long ones is looked up in the records themselves (`hot_match`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lakehouse.match import attribute_leaves, text_of
from text.numbers import EXACT, number_of, sortable

TEXT, BARE, NUMBER, LONG, END = "\x7f", "\x80", "\x81", "\x82", "\x83"
LONG_TEXT, LONG_BARE = f"{LONG}T", f"{LONG}B"
LONGEST = 7_000  # characters; a term has at most 32,766 bytes
_UNUSUAL = frozenset("-0123456789[")  # texts that begin so may be numbers, or lists
_LONGEST_KEY = 64  # characters of a name; the engine takes bounds of a range of up to a thousand bytes


def digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@lru_cache(maxsize=8192)
def name_of(key: str) -> str:
    """How the terms of an attribute begin; no name is the beginning of another up to the separator."""
    name = key[:_LONGEST_KEY]
    for place, special in enumerate(("~", TEXT, BARE, NUMBER, LONG)):
        name = name.replace(special, f"~{place}")
    return f"@{name}" if len(key) <= _LONGEST_KEY else f"@{name}~9{digest(key)}"


@lru_cache(maxsize=8192)
def _heads(key: str) -> tuple[str, str, str]:
    name = name_of(key)
    return name + TEXT, name + BARE, name + NUMBER


def attribute_terms(attributes: Mapping[str, Any]) -> list[str]:
    """The terms of all attributes, of a list those of its elements; null has none."""
    terms: list[str] = []
    for key, value in attributes.items():
        kind = type(value)
        if kind is str and value[:1] not in _UNUSUAL and len(value) <= LONGEST:
            terms.append(_heads(key)[0] + value)
        elif kind is int and -EXACT <= value <= EXACT:
            _, bare, number = _heads(key)
            terms.append(bare + str(value))
            terms.append(number + sortable(value))
        else:
            terms += (term for name, each in attribute_leaves(key, value) for term in _terms(name, each))
    return terms


def _terms(key: str, value: Any) -> list[str]:
    if type(value) is float and not math.isfinite(value):  # JSON writes it as null
        return []
    text, bare, number = _heads(key)
    written, is_text, found = text_of(value), type(value) is str, number_of(value)
    term = (text if is_text else bare) + written
    if len(written) > LONGEST:
        term = long_term(name_of(key), written, LONG_TEXT if is_text else LONG_BARE)
    return [term] if found is None else [term, number + sortable(found)]


def long_term(name: str, text: str, kind: str = LONG_TEXT) -> str:
    """What stands for a value of more than `LONGEST` characters: equal values have the same."""
    return f"{name}{kind}{digest(text)}"
