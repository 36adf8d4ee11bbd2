"""The shapes of a body: NDJSON, a JSON array, `{"records": [...]}` or one object -> one candidate record a line.

The media type decides when it names NDJSON; else the first byte does. An index in the answer is the element of the
array, or the line of NDJSON: a blank line is no record but keeps its number. Blank lines at the end do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from web.problems import Problem

NDJSON_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-l"}
)
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    records: list[msgspec.Raw]


_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


@dataclass(frozen=True, slots=True)
class Lines:
    """Candidates in order. `as_sent`: joined by newlines they are the body itself, so it may be forwarded whole."""

    items: list[bytes]
    as_sent: bool


def split(body: bytes, media_type: str) -> Lines:
    """Cut a body into candidate records; whether each is one is not looked at here.

    Raises:
        Problem: 400 `empty_body` or `no_records`.
    """
    text = body.removeprefix(_BOM)
    first = text.lstrip(_SPACE)[:1] if text[:1] in (b" ", b"\t", b"\r", b"\n") else text[:1]
    if not first:
        raise Problem(400, "empty_body", "the body is empty: send at least one record")
    is_ndjson = media_type.partition(";")[0].strip().lower() in NDJSON_TYPES
    items = None if is_ndjson else _document(text, first)
    if items is None:
        return Lines(_ndjson(text), as_sent=len(text) == len(body))
    if not items:
        raise Problem(400, "no_records", "the list of records is empty: send at least one record")
    return Lines(items, as_sent=False)


def _ndjson(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    while lines and not lines[-1].strip(_SPACE):
        lines.pop()
    return lines


def _document(text: bytes, first: bytes) -> list[bytes] | None:
    """The records of one JSON document; None when the body is rather NDJSON."""
    if first == b"[":
        return _array(text)
    if first != b"{":
        return None
    try:
        return [bytes(raw) for raw in _ENVELOPE.decode(text).records]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    if _ENVELOPE_START.match(text):
        return list(_elements(text[text.index(b"[") :]))
    head = text.lstrip(_SPACE).partition(b"\n")[0]
    return [text] if not _is_json(head) and _is_json(text) else None


_ENVELOPE_START = re.compile(rb'\s*\{\s*"records"\s*:\s*\[')


def _is_json(text: bytes) -> bool:
    try:
        _ANYTHING.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _array(text: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _ARRAY.decode(text)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return list(_elements(text))


def _elements(text: bytes) -> Iterator[bytes]:
    """The elements of a damaged array (NaN in one of them, cut off, ...), so that the good ones are not lost."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in (b"]", b"}") or (mark == b"," and depth == 1):
            if depth == 1 and (mark != b"]" or text[start : token.start()].strip(_SPACE)):
                yield text[start : token.start()].strip(_SPACE) or b"?"
            depth -= mark != b","
            start = token.end() if depth == 1 and mark == b"," else start
            if depth == 0:
                return
    if rest := text[start:].strip(_SPACE):
        yield rest
