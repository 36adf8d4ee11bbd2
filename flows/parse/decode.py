"""Decoding: payload bytes of one message -> records with their line numbers, and rejects for what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import zstandard

from contracts.batches import Reject
from contracts.messages import erased_in
from flows.arrivals import MAX_LINES, Arrival

R = TypeVar("R")

STAGE = "decode"
LARGEST_BYTES = 256 << 20  # of a payload when decompressed, whatever its header says: the flow holds it in memory


class Decoder(Protocol[R]):
    """Reads records; raises ValueError or RecursionError for what is none."""

    def decode(self, line: bytes, /) -> R: ...

    def decode_lines(self, payload: bytes, /) -> list[R]: ...


@dataclass(slots=True)
class Decoded(Generic[R]):
    """`records[i]` stands on line `indices[i]`; `received` counts non-empty lines, `duplicates` those skipped.

    `in_one_letter` counts records beyond the first of a message that is one dead letter, whole; `erased` those that
    were blanked on the bus, which are `received` as well.
    """

    records: list[R]
    indices: list[int]
    rejects: list[Reject]
    received: int
    duplicates: int
    in_one_letter: int = 0
    erased: int = 0


def decode(arrival: Arrival, decoder: Decoder[R], max_bytes: int) -> Decoded[R]:
    """Read the lines of a message that are no repeats. A payload that cannot be read at all is one reject, whole."""
    message, header = arrival.message, arrival.header
    erased = erased_in(message.headers)
    if erased and not message.payload:
        return Decoded([], [], [], erased, 0, erased=erased)
    if arrival.damage:
        return whole(message.payload, "invalid_headers", arrival.damage)
    if arrival.fresh == ():
        return Decoded([], [], [], header.count, header.count)
    try:
        payload = plain(arrival, max_bytes)
    except ValueError as error:
        return whole(message.payload, "invalid_encoding", str(error), header.count)
    decoded = _lines(arrival, payload, decoder)
    decoded.received += erased
    decoded.erased = erased
    return decoded


def plain(arrival: Arrival, max_bytes: int) -> bytes:
    """The payload, decompressed to at most `max_bytes`, or to what the service has accepted with a larger limit.

    Raises:
        ValueError: It cannot be decompressed.
    """
    if arrival.header.encoding == "identity":
        return arrival.message.payload
    return decompress(arrival.message.payload, max(max_bytes, min(arrival.header.size_bytes, LARGEST_BYTES)))


def whole(payload: bytes, reason: str, message: str, count: int = -1) -> Decoded[Any]:
    """The message as one reject: what it holds cannot be told apart. `count`: how many records, -1 when unknown."""
    records = max(count, 1)
    return Decoded([], [], [Reject(0, payload, reason, message, STAGE)], records, 0, records - 1)


def decompress(payload: bytes, max_bytes: int) -> bytes:
    """Unpack one zstd frame of at most `max_bytes`.

    Raises:
        ValueError: It is no such frame.
    """
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(payload, read_across_frames=True)
        text: bytes = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise ValueError(f"payload is no readable zstd frame: {error}") from error
    if len(text) > max_bytes:
        raise ValueError(f"payload is larger than {max_bytes} bytes when decompressed")
    return text


def _lines(arrival: Arrival, payload: bytes, decoder: Decoder[R]) -> Decoded[R]:
    header = arrival.header
    if header.count == header.span > 0 and arrival.fresh is None and (records := _all(payload, decoder, header.count)):
        return Decoded(records, list(range(header.count)), [], header.count, 0)
    lines = payload.split(b"\n")
    if header.span < 0:
        lines = [line.strip() for line in lines]
    filled = [index for index, line in enumerate(lines) if line]
    if filled and filled[-1] >= MAX_LINES:
        return whole(
            arrival.message.payload, "too_many_lines", f"message has more than {MAX_LINES} lines", header.count
        )
    fresh = filled
    if arrival.fresh is not None:
        fresh = [index for index in filled if any(index in lines for lines in arrival.fresh)]
    duplicates = len(filled) - len(fresh)
    if header.span >= 0 and not (fresh and fresh[-1] >= header.span):
        records = _all(b"\n".join([lines[index] for index in fresh]), decoder, len(fresh))
        if records:
            return Decoded(records, fresh, [], len(filled), duplicates)
    return _one_by_one(lines, fresh, header.span, decoder, Decoded([], [], [], len(filled), duplicates))


def _all(payload: bytes, decoder: Decoder[R], count: int) -> list[R]:
    """Every record at once, or [] when one cannot be read.

    Only for messages of the ingestion service, which has looked at every line: `decode_lines` takes two records on
    one line, or one on two, without a word.
    """
    try:
        records = decoder.decode_lines(payload)
    except (ValueError, RecursionError):
        return []
    return records if len(records) == count else []


def _one_by_one(
    lines: list[bytes], fresh: list[int], span: int, decoder: Decoder[R], decoded: Decoded[R]
) -> Decoded[R]:
    for index in fresh:
        line = lines[index]
        if 0 <= span <= index:
            decoded.rejects.append(Reject(index, line, "beyond_span", f"header speaks of {span} lines", STAGE))
            continue
        try:
            decoded.records.append(decoder.decode(line))
            decoded.indices.append(index)
        except msgspec.ValidationError as error:
            decoded.rejects.append(Reject(index, line, "invalid_record", str(error), STAGE))
        except (ValueError, RecursionError) as error:
            decoded.rejects.append(Reject(index, line, "invalid_json", str(error), STAGE))
    return decoded
