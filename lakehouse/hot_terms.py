r"""Keyword fields and attributes -> the terms of one index field.

Every keyword or attribute value of a record is one term of the field `terms`: its name, a separator that says what kind
of value it is, and its text. Attribute names start with "@". So ranges, wildcards and equality of any attribute run
over the ordered term dictionary, which the engine's JSON fields do not offer.

    service\x7fgateway          text
    @http.status\x80200         any other JSON value
    @http.status\x81c069...     the same number once more, as 16 hex digits that sort as numbers do
    @http.status                the attribute is present and not empty
"""

from __future__ import annotations

import hashlib
import math
import struct
from functools import lru_cache
from typing import Any

import msgspec

TEXT, BARE, NUMBER = "\x7f", "\x80", "\x81"
ATTRIBUTE = "@"
LONGEST_BYTES = 256
_KEY_BYTES = 128
_KEPT_BYTES = 220
_SHORT_CHARACTERS = LONGEST_BYTES // 4  # no text of so few characters is longer than LONGEST_BYTES

_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def cut(text: str, longest_bytes: int = LONGEST_BYTES, kept_bytes: int = _KEPT_BYTES) -> str:
    """`text`, or when longer its beginning and a hash: equality stays exact, prefixes are found, the rest is not."""
    if len(text) <= _SHORT_CHARACTERS:
        return text
    raw = text.encode()
    if len(raw) <= longest_bytes:
        return text
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return f"{raw[:kept_bytes].decode(errors='ignore')}{BARE}{digest}"


@lru_cache(maxsize=8192)
def name_of(key: str) -> str:
    """An attribute's name as it begins its terms; no name is the beginning of another up to a separator."""
    escaped = key.replace("~", "~0").replace(TEXT, "~1").replace(BARE, "~2").replace(NUMBER, "~3")
    return ATTRIBUTE + cut(escaped, _KEY_BYTES, _KEY_BYTES - 36)


@lru_cache(maxsize=8192)
def sortable(number: float) -> str:
    """A double as 16 hex digits in the order of numbers."""
    return f"{sortable_bits(number):016x}"


def sortable_bits(number: float) -> int:
    bits: int = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]  # + 0.0 makes -0.0 and 0.0 one
    return bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63


def as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def attribute_terms(key: str, value: Any) -> list[str]:
    """The terms of one attribute; null has none."""
    name = name_of(key)
    if type(value) is str:
        return [name, f"{name}{TEXT}{cut(value)}"] if value else [name + TEXT]
    if value is None or (type(value) is float and not math.isfinite(value)):  # JSON writes both as null
        return []
    terms = [name, f"{name}{BARE}{cut(_ENCODE(value).decode())}"]
    if type(value) is int or type(value) is float:
        terms.append(f"{name}{NUMBER}{sortable(as_double(value))}")
    return terms


def keyword_term(field: str, value: str) -> str:
    return f"{field}{TEXT}{cut(value)}"
