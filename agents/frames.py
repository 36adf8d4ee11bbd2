"""Frames: records and the positions after them -> one CRC-framed run of bytes, and back.

A frame is the atomic unit of the buffer: its records and the read positions after them are on disk together or not at
all. Layout: magic, body length, CRC-32 of the body; body: length of the note, the note (JSON), the records (NDJSON).
The magic contains a byte that UTF-8 never contains, so that frames after a damaged stretch can be found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agents.lines import Part
from agents.positions import Position

MAGIC = b"\xffHWFRM1\n"
_HEADER = struct.Struct("<8sII")
_LENGTH = struct.Struct("<I")
HEADER_BYTES = _HEADER.size


class Note(msgspec.Struct, frozen=True):
    """Description of a frame.

    Attributes:
        epoch, sequence: Of the first record; the others follow without gaps.
        parts: (records, bytes) of each part of the payload.
        positions: Read positions that this frame changes, by file; None for a file to forget.
        written_s: Time of writing, epoch seconds.
    """

    epoch: int
    sequence: int
    parts: list[tuple[int, int]]
    positions: dict[str, Position | None] = msgspec.field(default_factory=dict)
    written_s: float = 0.0

    @property
    def count(self) -> int:
        return sum(count for count, _ in self.parts)

    @property
    def end(self) -> tuple[int, int]:
        return self.epoch, self.sequence + self.count


@dataclass(frozen=True, slots=True)
class Frame:
    note: Note
    payload: bytes

    def parts(self) -> Iterator[tuple[int, Part]]:
        """(sequence, part) in order."""
        sequence, begin = self.note.sequence, 0
        for count, size in self.note.parts:
            yield sequence, Part(count, self.payload[begin : begin + size])
            sequence, begin = sequence + count, begin + size


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


def encode_frame(
    epoch: int, sequence: int, parts: Sequence[Part], positions: Mapping[str, Position | None], written_s: float
) -> tuple[Note, bytes]:
    note = Note(epoch, sequence, [(part.count, len(part.payload)) for part in parts], dict(positions), written_s)
    text = _encode(note)
    body = b"".join((_LENGTH.pack(len(text)), text, *(part.payload for part in parts)))
    return note, _HEADER.pack(MAGIC, len(body), zlib.crc32(body)) + body


def body_bytes(header: bytes) -> int:
    """Length of the body after a header; -1 if these bytes are no header."""
    if len(header) < HEADER_BYTES:
        return -1
    magic, size, _ = _HEADER.unpack_from(header)
    return size if magic == MAGIC else -1


def decode_body(body: bytes) -> Frame:
    size = _LENGTH.unpack_from(body)[0]
    begin = _LENGTH.size + size
    return Frame(_decode(body[_LENGTH.size : begin]), body[begin:])


@dataclass(frozen=True, slots=True)
class Found:
    """A frame, or a stretch of bytes that is no frame (`note` is None).

    `torn` marks a stretch at the end of the data: the beginning of a frame whose rest was never written.
    """

    begin: int
    end: int
    note: Note | None
    torn: bool = False


def scan(data: bytes) -> Iterator[Found]:
    """All frames of a segment in order, and the stretches between them."""
    place = 0
    while place < len(data):
        found = _frame_at(data, place)
        if found.note is None and not found.torn:
            following = data.find(MAGIC, place + 1)
            found = Found(place, following if following >= 0 else len(data), None)
        elif found.torn and (following := _next_frame(data, place + 1)) >= 0:
            found = Found(place, following, None)  # a damaged length: an intact frame follows
        yield found
        place = found.end


def _next_frame(data: bytes, place: int) -> int:
    while (place := data.find(MAGIC, place)) >= 0:
        if _frame_at(data, place).note is not None:
            return place
        place += 1
    return -1


def _frame_at(data: bytes, place: int) -> Found:
    header = data[place : place + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return Found(place, len(data), None, torn=MAGIC.startswith(header[: len(MAGIC)]))
    magic, size, crc = _HEADER.unpack(header)
    begin, end = place + HEADER_BYTES, place + HEADER_BYTES + size
    if magic != MAGIC:
        return Found(place, end, None)
    if end > len(data):
        return Found(place, len(data), None, torn=True)
    body = data[begin:end]
    try:
        note = decode_body(body).note if zlib.crc32(body) == crc else None
    except (msgspec.MsgspecError, struct.error):
        note = None
    return Found(place, end, note)
