"""A file of what was learned: `Learned` -> bytes that say when they are torn -> `Learned`.

Digests stand as they are; numbers are differences, byte by byte of all of them, packed. A request takes about 20 bytes,
a stream about 28.
"""

from __future__ import annotations

import struct
import zlib

import msgspec
import numpy as np
import zstandard

from flows.read.keys import DIGEST_BYTES, Longs
from flows.read.repeats import Learned

_MAGIC = b"HWrepeats1"
_SUM = struct.Struct("<I")


class Torn(ValueError):
    """The bytes are no such file, or not all of one, or of another lake."""


class _Head(msgspec.Struct, array_like=True):
    lake: int
    needs: list[str]
    now_ns: int
    keys: int
    streams: int
    holes: int
    numbers: int  # bytes


def to_bytes(learned: Learned, lake: int, needs: list[str]) -> bytes:
    """`lake`: its identity; `needs`: names of the files without which this one says too little."""
    numbers = zstandard.ZstdCompressor(level=3).compress(
        b"".join(_shuffled(each) for each in (learned.key_times, *learned.stream_values.T, *learned.holes.T))
    )
    head = msgspec.msgpack.encode(
        _Head(
            lake,
            needs,
            learned.now_ns,
            len(learned.key_times),
            len(learned.stream_values),
            len(learned.holes),
            len(numbers),
        )
    )
    body = _MAGIC + _SUM.pack(len(head)) + head + numbers + learned.keys + learned.streams
    return body + _SUM.pack(zlib.crc32(body))


def from_bytes(content: bytes, lake: int) -> tuple[Learned, list[str]]:
    """What was learned, and the names of the files that it needs.

    Raises:
        Torn: It cannot be used.
    """
    body, start = content[: -_SUM.size], len(_MAGIC) + _SUM.size
    if not content.startswith(_MAGIC) or content[-_SUM.size :] != _SUM.pack(zlib.crc32(body)):
        raise Torn("the file is torn")
    (size,) = _SUM.unpack_from(body, len(_MAGIC))
    head = msgspec.msgpack.decode(body[start : start + size], type=_Head)
    if head.lake != lake:
        raise Torn("the file is of another lake")
    at = start + size + head.numbers
    most = 8 * (head.keys + 2 * head.streams + 3 * head.holes)
    numbers = zstandard.ZstdDecompressor().decompress(body[start + size : at], max_output_size=most) if most else b""
    columns, used = [], 0
    for count in (head.keys, *[head.streams] * 2, *[head.holes] * 3):
        columns.append(_restored(numbers[used : used + 8 * count]))
        used += 8 * count
    end = at + head.keys * DIGEST_BYTES
    values, holes = np.stack(columns[1:3], axis=1), np.stack(columns[3:], axis=1)
    return Learned(head.now_ns, body[at:end], columns[0], body[end:], values, holes), head.needs


def _shuffled(column: Longs) -> bytes:
    steps = np.diff(column, prepend=np.int64(0)).astype("<i8")
    return steps.view(np.uint8).reshape(-1, 8).T.tobytes()


def _restored(content: bytes) -> Longs:
    steps = np.frombuffer(content, np.uint8).reshape(8, -1).T.copy().view("<i8").reshape(-1)
    return np.cumsum(steps, dtype=np.int64)
