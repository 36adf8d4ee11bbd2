"""Envelopes: lines as a container runtime writes them -> stream, text and completeness of each, and back.

CRI (containerd, CRI-O): `2026-11-30T19:40:07.1Z stdout F text`; the tag P marks a piece of a line. Docker's json-file:
`{"log":"text\\n","stream":"stdout","time":"…"}`; a piece of a line has no newline at the end of `log`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from agents.traces import LISTED, Search
from text.patterns import bytes_pattern

_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT[^ ]{9,32} (stdout|stderr) )([FP])[^ ]*(?: |\Z)", re.DOTALL).match
_DOCKER = b'{"log":"'
_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.encode

_cri_noteworthy = bytes_pattern(
    rb"(?m)\n[^ \n]+ std(?:out|err) (?:P|F[^ \n]*(?:\r?\n| (?:\r?\n|" + LISTED + rb")))"
).search
_PIECE = rb"(?:(?:[^\"\\\n]|\\.)*(?:[^\"\\\n]|\\[^n]))?\""  # a string of JSON that does not end with "\n"
_docker_noteworthy = bytes_pattern(rb"(?m)\n\{\"log\":\"(?:\\|" + LISTED + rb"|" + _PIECE + rb")").search


@dataclass(frozen=True, slots=True)
class Enveloped:
    """One line without its envelope.

    Attributes:
        stream: "stdout", "stderr", or another name that the runtime wrote.
        text: The line that the container wrote, or a piece of it.
        is_piece: True if the next line of the stream goes on with the same line.
        wrap: Puts another text into the envelope of this line, as a line that is complete.
    """

    stream: str
    text: bytes
    is_piece: bool
    wrap: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A way of writing lines. `read` gives None for a line of another way.

    `search`: finds lines that may be a piece, continue a record or give it a state (`agents.traces.Noteworthy`).
    """

    read: Callable[[bytes], Enveloped | None]
    search: Search


def envelope_of(line: bytes) -> Envelope | None:
    """The envelope in which `line` stands."""
    if line.startswith(_DOCKER):
        return DOCKER if _read_docker(line) else None
    return CRI if _CRI(line) else None


def _read_cri(line: bytes) -> Enveloped | None:
    found = _CRI(line)
    if not found:
        return None
    head = found[1] + b"F "
    return Enveloped(found[2].decode(), line[found.end() :], found[3] == b"P", lambda text: head + text)


def _read_docker(line: bytes) -> Enveloped | None:
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    log, stream = record.get("log"), record.get("stream", "")
    if not isinstance(log, str) or not isinstance(stream, str) or len(stream) > 32:
        return None

    def wrap(text: bytes) -> bytes:
        return _encode(record | {"log": text.decode(errors="replace") + "\n"})

    return Enveloped(stream, log.rstrip("\r\n").encode(errors="replace"), not log.endswith("\n"), wrap)


CRI = Envelope(_read_cri, _cri_noteworthy)
DOCKER = Envelope(_read_docker, _docker_noteworthy)
