r"""Keyword fields and attributes -> the terms of one index field.

Every keyword or attribute value of a record is one term of the field `terms`: its name, a separator that says what kind
of value it is, and its text. Attribute names start with "@", the tenant with "#". The terms of a block of records are
one text, split at spaces by the engine. So ranges, wildcards and equality of any attribute run over the ordered term
dictionary, which the engine's JSON fields do not offer.

    service\x7fgateway          text
    @http.status\x80200         any other JSON value
    @load\x813fe0...            a number that is no integer or a large one once more, as 16 hex digits that sort as
                                numbers do
    severity_number\x8017       a number field of few values

    trace_id                    the record has one, see `MARKED`

Nothing stands for what is absent, and nothing for a keyword field that is empty; an empty attribute has a term.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

TEXT, BARE, NUMBER = "\x7f", "\x80", "\x81"
ATTRIBUTE = "@"
LONGEST_BYTES = 256
_KEY_BYTES = 128
_KEPT_BYTES = 220
_SHORT_CHARACTERS = LONGEST_BYTES // 4  # no text of so few characters is longer than LONGEST_BYTES

ESCAPES = "\x08\x0b\x1f"
_ESCAPED = {
    "\x08": "\x08\x01",
    "\t": "\x08\x02",
    "\n": "\x08\x03",
    "\x0b": "\x0b\x01",
    "\x0c": "\x0b\x02",
    "\r": "\x0b\x03",
    "\x1f": "\x1f\x01",
    " ": "\x1f\x02",
}
_ESCAPED_TABLE = str.maketrans(_ESCAPED)
_BLANK = _ESCAPED[" "]
MARKED = ("trace_id", "span_id")  # values seldom repeat: the bare name tells that there is one
EXACT = (1 << 53) - 1  # integers up to here are doubles of their own
_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def cut(text: str, longest_bytes: int = LONGEST_BYTES, kept_bytes: int = _KEPT_BYTES) -> str:
    """`text`, or when longer its beginning and a hash: equality stays exact, prefixes are found, the rest is not."""
    if len(text) <= _SHORT_CHARACTERS or (len(text) <= longest_bytes and text.isascii()):
        return text
    raw = text.encode()
    if len(raw) <= longest_bytes:
        return text
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return f"{raw[:kept_bytes].decode(errors='ignore')}{BARE}{digest}"


def escaped(text: str) -> str:
    """`text` without white space, in the same order by code points; `ESCAPES` begin what two characters stand for."""
    return text.replace(" ", _BLANK) if text.isprintable() else text.translate(_ESCAPED_TABLE)


@lru_cache(maxsize=8192)
def name_of(key: str) -> str:
    """An attribute's name as it begins its terms; no name is the beginning of another up to a separator."""
    plain = key.replace("~", "~0").replace(TEXT, "~1").replace(BARE, "~2").replace(NUMBER, "~3")
    return ATTRIBUTE + escaped(cut(plain, _KEY_BYTES, _KEY_BYTES - 36))


def sortable_bits(number: float) -> int:
    """A double as 64 bits in the order of numbers."""
    bits: int = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]  # + 0.0 makes -0.0 and 0.0 one
    return bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63


def as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


@lru_cache(maxsize=65_536, typed=True)
def number_text(number: float) -> str:
    """A number, as the double that it is compared as, in 16 hex digits that sort as numbers do."""
    return f"{sortable_bits(as_double(number)):016x}"


@lru_cache(maxsize=8192)
def heads_of(key: str) -> tuple[str, str]:
    """What the terms of an attribute begin with: that of a text, and that of any other value."""
    return name_of(key) + TEXT, name_of(key) + BARE


def attributes_terms(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The terms of the attributes of rows, those of texts and small integers once each; null has none."""
    texts: set[tuple[str, str]] = set()
    integers: set[tuple[str, int]] = set()
    others: list[str] = []
    for attributes in rows:
        for item in attributes.items():
            value = item[1]
            if type(value) is str:
                texts.add(item)
            elif type(value) is int and -EXACT <= value <= EXACT:
                integers.add(item)
            elif value is not None:
                others += _other_terms(*item)
    terms = [heads_of(key)[0] + escaped(cut(value)) for key, value in texts]
    terms += [f"{heads_of(key)[1]}{value}" for key, value in integers]
    return terms + others


def _other_terms(key: str, value: Any) -> list[str]:
    if type(value) is float and not math.isfinite(value):  # JSON writes it as null
        return []
    terms = [heads_of(key)[1] + escaped(cut(_ENCODE(value).decode()))]
    if type(value) is float or type(value) is int:
        terms.append(f"{name_of(key)}{NUMBER}{number_text(value)}")
    return terms


@lru_cache(maxsize=4096)
def keyword_terms(fields: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The terms of keyword fields, with spaces between; an empty one has none."""
    return " ".join(keyword_term(field, value) for field, value in zip(fields, values, strict=True) if value)


def keyword_term(field: str, value: str) -> str:
    return f"{field}{TEXT}{escaped(cut(value))}"


def number_term(field: str, value: int) -> str:
    return f"{field}{BARE}{value}"


def tenant_term(tenant: str) -> str:
    return f"#{tenant}"
