"""The shapes of a body: NDJSON, a JSON array, `{"records": [...]}` or one object -> one candidate record a line.

A media type of NDJSON decides the shape; otherwise the first byte does. An index in the answer is the element of the
array, or the line of NDJSON: a blank line is no record but keeps its number. Blank lines at the end do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from contracts.messages import Kind
from contracts.stray_fields import objects
from ingestion_api import otlp
from ingestion_api.candidates import Candidates, Limits, too_many
from web.problems import Problem

NDJSON_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-l"}
)
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)  # possessive: linear in the text
_MAX_COMMAS = 1_000_000
_SEVERAL = re.compile(rb"\}\s*\{")


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    records: list[msgspec.Raw]


_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_ENVELOPE_START = re.compile(rb'\s*\{\s*"records"\s*:\s*\[')
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Lines:
    """Candidates in order. `as_sent`: the candidates joined by newlines are the body, so the body may be forwarded."""

    items: list[bytes]
    as_sent: bool


def split(body: bytes, media_type: str, limit: int) -> Lines:
    """Cut a body into at most `limit` candidate records, without a check of the candidates.

    Raises:
        Problem: 400 `empty_body`, `no_records` or `unknown_field` (beside "records"), 413 `too_many_records`.
    """
    text = body.removeprefix(_BOM)
    first = text[:1] if text[:1] not in (b" ", b"\t", b"\r", b"\n") else text.lstrip(_SPACE)[:1]
    if not first:
        raise Problem(400, "empty_body", "the body is empty: send at least one record")
    is_ndjson = media_type.partition(";")[0].strip().lower() in NDJSON_TYPES
    items = None if is_ndjson else _document(text, first, limit)
    if items is None:
        lines = text.rstrip(_SPACE)
        tail = text[len(lines) :]  # a last line of spaces must not become a record
        return Lines(_ndjson(lines, limit), as_sent=len(text) == len(body) and tail in (b"", b"\n", b"\r\n"))
    if not items:
        raise Problem(400, "no_records", "the list of records is empty: send at least one record")
    if len(items) > limit:
        raise too_many(limit)
    return Lines(items, as_sent=False)


def take_apart(lines: Lines, kind: Kind, limits: Limits) -> Candidates:
    """One candidate for each record where a line holds several: `{...}{...}`, or a line of OTLP.

    Raises:
        Problem: 413 `too_many_records`, `body_too_large`.
    """
    found = Candidates(limits)
    for line in lines.items:
        for part in objects(line, limits.records) if _SEVERAL.search(line) else (line,):
            if not (kind is Kind.LOGS and otlp.MARK in part and otlp.open_line(part, found)):
                found.add(part)
    return found


def _ndjson(text: bytes, limit: int) -> list[bytes]:
    if text.count(b"\n") >= limit:
        raise too_many(limit)
    return text.split(b"\n")


def _document(text: bytes, first: bytes, limit: int) -> list[bytes] | None:
    """The records of one JSON document; None if the body is NDJSON."""
    if first == b"[":
        return _array(text, limit)
    if first != b"{":
        return None
    if _ENVELOPE_START.match(text):
        return _envelope(text, limit)
    head = text.lstrip(_SPACE).partition(b"\n")[0]
    if _is_json(head):
        return None
    several = objects(text.strip(_SPACE), limit)  # [text] if it is one document, or damaged at its begin
    if len(several) > 1 and b"\n" in several[0]:
        return several
    return [text] if _is_json(text) else None


def _envelope(text: bytes, limit: int) -> list[bytes]:
    if text.count(b",") < _MAX_COMMAS:
        try:
            return [bytes(raw) for raw in _ENVELOPE.decode(text).records]
        except _BROKEN:
            pass
        if _is_json(text):
            raise Problem(400, "unknown_field", 'the body has fields beside "records": send {"records": [...]} alone')
    return _elements(text[text.index(b"[") :].rstrip(_SPACE).removesuffix(b"}"), limit)


def _array(text: bytes, limit: int) -> list[bytes]:
    if text.count(b",") < _MAX_COMMAS:  # each comma may mean one more object in memory
        try:
            return [bytes(raw) for raw in _ARRAY.decode(text)]
        except _BROKEN:
            pass
    return _elements(text, limit)


def _is_json(text: bytes) -> bool:
    try:
        _ANYTHING.decode(text)
    except _BROKEN:
        return False
    return True


def _elements(text: bytes, limit: int) -> list[bytes]:
    """The elements of a damaged array (NaN in one, cut off, ...), so that the good elements are not lost."""
    return list(islice(_scan(text), limit + 1))


def _scan(text: bytes) -> Iterator[bytes]:
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark == b"," and depth == 1:
            yield text[start : token.start()].strip(_SPACE) or mark
            start = token.end()
        elif mark in (b"]", b"}"):
            depth -= 1
        if depth == 0:
            if last := text[start : token.start()].strip(_SPACE):
                yield last
            start = token.end()
        if depth == 0:
            break
    if rest := text[start:].strip(_SPACE):
        yield rest
