"""Cursors: the end of a page and its query -> opaque text, and back.

A cursor is base64url of a digest and a small JSON. The digest binds the cursor to tenant, kind, order and every
filter, so a cursor of another query is refused instead of giving a wrong page. The digest is a check, not a secret:
a cursor gives no access beyond the caller's key. The cursor also keeps the clock of the first page, so that `now-15m`
means the same on every page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from contracts.query import Cursor, Position
from web.problems import Problem

_MAX_CHARS = 512
_DIGEST_BYTES = 12
_Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Place(msgspec.Struct, array_like=True, frozen=True):
    now_ns: _Natural
    timestamp_ns: _Natural
    partition: _Natural
    offset: _Natural
    index: _Natural


_DECODER = msgspec.json.Decoder(_Place)


def write_cursor(cursor: Cursor, now_ns: int, binding: tuple[Any, ...]) -> str:
    """`binding`: parameters that the next request must repeat; `now_ns`: the clock that later pages use for `now`."""
    at = cursor.position
    place = msgspec.json.encode(_Place(now_ns, cursor.timestamp_ns, at.partition, at.offset, at.index))
    return base64.urlsafe_b64encode(_digest(place, binding) + place).decode().rstrip("=")


def read_cursor(text: str, binding: tuple[Any, ...]) -> tuple[Cursor, int]:
    """The cursor and the clock of its first page.

    Raises:
        Problem: 400 "bad_cursor": damaged, or made for another query.
    """
    try:
        if len(text) > _MAX_CHARS:
            raise ValueError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, place = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if digest != _digest(place, binding):
            raise ValueError("of another query")
        found = _DECODER.decode(place)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        tell = "the cursor belongs to another query or is damaged: repeat all parameters of the first page, or omit it"
        raise Problem(400, "bad_cursor", tell, parameter="cursor") from error
    position = Position(found.partition, found.offset, found.index)
    return Cursor(found.timestamp_ns, position), found.now_ns


def _digest(place: bytes, binding: tuple[Any, ...]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(binding) + place, digest_size=_DIGEST_BYTES).digest()
