"""Identity of a batch: request headers -> producer, epoch, stream, sequence."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from web.problems import Problem

PRODUCER, EPOCH = "X-Headwater-Producer", "X-Headwater-Epoch"
STREAM, SEQUENCE = "X-Headwater-Stream", "X-Headwater-Sequence"
KEY = "Idempotency-Key"

MAX_NUMBER = 1 << 62
_PRODUCER = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}\Z")
_STREAM = re.compile(r"[\x21-\x7e]{0,128}\Z")
_KEY = re.compile(r"[\x21-\x7e]{1,256}\Z")
_NUMBER = re.compile(r"[0-9]{1,19}\Z")
_RESERVED = ("key:", "req:", "bus:", "flow:")


@dataclass(frozen=True, slots=True)
class Identity:
    """Two batches of the same identity are repeats. `numbered`: the producer sends sequence numbers.

    `keyed`: the sender gave an Idempotency-Key.
    """

    producer: str
    epoch: int = 0
    stream: str = ""
    sequence: int = 0
    numbered: bool = False
    keyed: bool = False


def identity_of(headers: Mapping[str, str]) -> Identity:
    """The producer's own numbers, else its Idempotency-Key, else a new random id (at least once, no deduplication).

    Raises:
        Problem: 400 `invalid_producer`, `invalid_idempotency_key`.
    """
    named = [name for name in (PRODUCER, EPOCH, STREAM, SEQUENCE) if name in headers]
    key = headers.get(KEY)
    if named and key is not None:
        detail = f"the request has both {PRODUCER} and {KEY}, and each identifies repeats: send only one of them"
        raise Problem(400, "invalid_producer", detail)
    if named:
        return _numbered(headers)
    if key is None:
        return Identity(f"req:{secrets.token_hex(16)}")
    if not _KEY.match(key):
        raise Problem(400, "invalid_idempotency_key", f"{KEY} must be 1-256 printable ASCII characters without spaces")
    return Identity(f"key:{key}", keyed=True)


def _numbered(headers: Mapping[str, str]) -> Identity:
    producer, stream = headers.get(PRODUCER, ""), headers.get(STREAM, "")
    if not _PRODUCER.match(producer):
        raise _invalid(PRODUCER, 'must be 1-128 letters, digits and "._:@/+=-"')
    if producer.startswith(_RESERVED):
        raise _invalid(PRODUCER, f"must not start with {', '.join(_RESERVED)}")
    if not _STREAM.match(stream):
        raise _invalid(STREAM, "must be at most 128 printable ASCII characters without spaces")
    if SEQUENCE not in headers:
        raise _invalid(SEQUENCE, "is missing: send the sequence number of the first record")
    sequence = _number(headers, SEQUENCE)
    return Identity(producer, _number(headers, EPOCH), stream, sequence, numbered=True)


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "0")
    if not _NUMBER.match(text) or int(text) > MAX_NUMBER:
        raise _invalid(name, f"must be a whole number from 0 to {MAX_NUMBER}")
    return int(text)


def _invalid(name: str, rule: str) -> Problem:
    return Problem(400, "invalid_producer", f"the header {name} {rule}", header=name)
