"""A message that is too large -> two messages, each with half of its lines."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from contracts.messages import BatchHeader, Message, from_headers, to_headers

_ONE_REQUEST = ("key:", "req:")  # producers that stand for one request: each part gets a stream of its own


def halves(message: Message) -> Sequence[Message]:
    """Two messages for one, in order; none if `message` has no header of ours, has one line, or cannot be read.

    A record keeps its producer, epoch and sequence number. If the producer stands for one whole request, the parts
    get different streams, so that a reader does not take the second part for a repeat of the first. A repeat of the
    request is split in the same way.
    """
    try:
        header = from_headers(message.headers)
        if header is None or header.span < 2:
            return ()
        lines = _plain(header, message.payload).split(b"\n")
    except (ValueError, msgspec.MsgspecError, zstandard.ZstdError):
        return ()
    if len(lines) != header.span:
        return ()
    middle = len(lines) // 2
    return [_part(header, lines, start, end) for start, end in ((0, middle), (middle, len(lines)))]


def _plain(header: BatchHeader, payload: bytes) -> bytes:
    if header.encoding == "identity":
        return payload
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(payload, read_across_frames=True)
    text: bytes = reader.read(header.size_bytes + 1)
    if len(text) != header.size_bytes:
        raise ValueError("the payload's size differs from its header")
    return text


def _part(header: BatchHeader, lines: Sequence[bytes], start: int, end: int) -> Message:
    plain = b"\n".join(lines[start:end])
    payload = plain if header.encoding == "identity" else zstandard.ZstdCompressor(level=1).compress(plain)
    sequence = header.sequence + start
    one_request = header.producer.startswith(_ONE_REQUEST)
    part = msgspec.structs.replace(
        header,
        stream=f"from {sequence}" if one_request else header.stream,
        sequence=sequence,
        count=sum(1 for line in lines[start:end] if line),
        span=end - start,
        size_bytes=len(plain),
    )
    return Message(payload, to_headers(part))
