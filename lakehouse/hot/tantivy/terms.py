r"""Keyword fields and attributes -> the terms of one index field.

Every keyword or attribute value of a record is one term of the field `terms`: its name, a separator that says what kind
of value it is, and its text. Attribute names start with "@", the tenant with "#". The terms of a block of records are
one text, split at spaces by the engine. So ranges, wildcards and equality of any attribute run over the ordered term
dictionary, which the engine's JSON fields do not offer.

    service\x7fgateway          text
    @http.status\x80200         any other JSON value
    @load\x813fe0...            a number that is no integer or a large one once more, as 16 hex digits that sort as
                                numbers do
    @stack\x82Traceback...\x82  a value that is too long: its beginning, and a hash of it
    severity_number\x8017       a number field of few values
    \x84été                     a word of a text that the engine cannot split (`text.words`)

    trace_id                    the record has one, see `MARKED`

A list has the terms of its elements. Nothing stands for what is absent, and nothing for a keyword field that is empty;
an empty attribute has a term.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from lakehouse.match import attribute_leaves, text_of
from text.numbers import EXACT, sortable
from text.words import index_word, words

TEXT, BARE, NUMBER, LONG, WORD = "\x7f", "\x80", "\x81", "\x82", "\x84"
ATTRIBUTE = "@"
LONGEST_BYTES = 256
KEPT_BYTES = 220
_KEY_BYTES = 128
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


def kept(text: str) -> str:
    """The beginning of a value that is too long, as it stands in its term."""
    return escaped(text.encode()[:KEPT_BYTES].decode(errors="ignore"))


def valued(head: str, kind: str, text: str) -> str:
    """The term of a value: whole, or when it is too long, its beginning and a hash. Equality stays exact."""
    if len(text) <= _SHORT_CHARACTERS or (len(text) <= LONGEST_BYTES and text.isascii()):
        return head + kind + escaped(text)
    raw = text.encode()
    if len(raw) <= LONGEST_BYTES:
        return head + kind + escaped(text)
    return f"{head}{LONG}{kept(text)}{LONG}{kind}{_digest(raw)}"


def _digest(raw: bytes) -> str:
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def escaped(text: str) -> str:
    """`text` without white space, in the same order by code points; `ESCAPES` begin what two characters stand for."""
    return text.replace(" ", _BLANK) if text.isprintable() else text.translate(_ESCAPED_TABLE)


@lru_cache(maxsize=8192)
def name_of(key: str) -> str:
    """An attribute's name as it begins its terms; no name is the beginning of another up to a separator."""
    plain = key
    for place, special in enumerate(("~", TEXT, BARE, NUMBER, LONG)):
        plain = plain.replace(special, f"~{place}")
    raw = plain.encode()
    if len(raw) > _KEY_BYTES:
        plain = f"{raw[: _KEY_BYTES - 36].decode(errors='ignore')}~9{_digest(raw)}"
    return ATTRIBUTE + escaped(plain)


def attributes_terms(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The terms of the attributes of rows, those of texts and small integers once each; null has none."""
    texts: set[tuple[str, str]] = set()
    integers: set[tuple[str, int]] = set()
    others: list[str] = []
    for attributes in rows:
        for item in attributes.items():
            value = item[1]
            if type(value) is str and value[:1] != "[":
                texts.add(item)
            elif type(value) is int and -EXACT <= value <= EXACT:
                integers.add(item)
            elif value is not None:
                others += _other_terms(*item)
    terms = [
        (
            f"{name_of(key)}{TEXT}{value}"  # as `valued` would write it
            if len(value) <= _SHORT_CHARACTERS and " " not in value and value.isprintable()
            else valued(name_of(key), TEXT, value)
        )
        for key, value in texts
    ]
    terms += [f"{name_of(key)}{BARE}{value}" for key, value in integers]
    return terms + others


def _other_terms(key: str, value: Any) -> list[str]:
    terms = []
    for name, each in attribute_leaves(key, value):
        if type(each) is float and not math.isfinite(each):  # JSON writes it as null
            continue
        terms.append(valued(name_of(name), TEXT if type(each) is str else BARE, text_of(each)))
        if type(each) is float or type(each) is int:
            terms.append(f"{name_of(name)}{NUMBER}{sortable(each)}")
    return terms


@lru_cache(maxsize=4096)
def keyword_terms(fields: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The terms of keyword fields, with spaces between; an empty one has none."""
    return " ".join(keyword_term(field, value) for field, value in zip(fields, values, strict=True) if value)


def keyword_term(field: str, value: str) -> str:
    return valued(field, TEXT, value)


def word_terms(text: str) -> list[str]:
    """The terms of a text that is not plain."""
    return [word_term(word) for word in set(words(text))]


def word_term(word: str) -> str:
    return WORD + index_word(word)


def number_term(field: str, value: int) -> str:
    return f"{field}{BARE}{value}"


def tenant_term(tenant: str) -> str:
    return f"#{tenant}"
