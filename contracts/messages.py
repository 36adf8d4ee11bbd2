"""The wire: one accepted request is one bus message, an NDJSON payload with headers.

The payload holds one JSON record a line. An **empty line holds the place of a record that was rejected**, so that
the line number always equals the record's index in the request and its sequence number is `sequence + line`.
The payload may be a zstd frame (`content-encoding: zstd`), exactly as the client sent it.

A message of somebody else's producer may lack every header; it is then read as `foreign_header` says.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from contracts.tenants import Tenant

FORMAT_VERSION = 1
ERASED = "erased"  # why a record was dropped: it belongs to a subject whose records were erased


class Kind(enum.StrEnum):
    """What a record is. The bus topic is `Kind.topic`, the Delta table and the hot index carry the kind's name."""

    LOGS = "logs"
    METRICS = "metrics"
    EVENTS = "events"
    DEAD_LETTERS = "dead_letters"

    @property
    def topic(self) -> str:
        return self.value if self is Kind.DEAD_LETTERS else f"{self.value}.raw"


@dataclass(frozen=True, slots=True)
class Message:
    """Opaque bytes on the bus.

    Attributes:
        payload: What was appended, unchanged.
        headers: Text pairs, unchanged. Empty for a foreign message.
        offset: Position in its partition, from 0, without gaps while retained; -1 before it is appended.
        appended_ns: When the bus stored it, Unix nanoseconds UTC; 0 before it is appended.
    """

    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    offset: int = -1
    appended_ns: int = 0


class BatchHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a message say of its batch. See `to_headers`, `from_headers`.

    Attributes:
        tenant: Whose records these are.
        kind: What the records are.
        producer: Stable id of the sender. Agents: their own id. `Idempotency-Key` k: "key:k". Neither: "req:" and
            the request id. Foreign: "bus:" and the topic.
        epoch: +1 whenever the producer lost its state. 0 where it does not apply.
        stream: The producer's stream, e.g. one tailed file or "host". "" where it does not apply.
        sequence: Sequence number of line 0. 0 where it does not apply.
        count: Usable records in the payload (non-empty lines); -1 when unknown (foreign).
        span: Sequence numbers covered (all lines, empty ones included); -1 when unknown (foreign).
        received_ns: Arrival at the API, Unix nanoseconds UTC: the `observed_timestamp` of every record of the batch,
            and its UTC day is the arrival day.
        encoding: "identity" or "zstd".
        size_bytes: Payload size before compression; 0 when unknown.
    """

    tenant: Tenant
    kind: Kind
    producer: str
    epoch: int = 0
    stream: str = ""
    sequence: int = 0
    count: int = -1
    span: int = -1
    received_ns: int
    encoding: str = "identity"
    size_bytes: int = 0

    @property
    def stream_key(self) -> str:
        """Partition key on the bus: batches of one producer stay in one partition, in order."""
        return f"{self.tenant}/{self.producer}"


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(BatchHeader)
_ERASED = "headwater-erased"
_HEADER = "headwater-batch"
_VERSION = "headwater-version"


def to_headers(header: BatchHeader) -> dict[str, str]:
    """Headers of a message: the format version, and the batch header as one JSON text."""
    return {_VERSION: str(FORMAT_VERSION), _HEADER: _ENCODER.encode(header).decode()}


def from_headers(headers: Mapping[str, str]) -> BatchHeader | None:
    """Read them back; None for a foreign message.

    Raises:
        ValueError: The headers claim to be ours and cannot be read (a later version, or damage).
    """
    text = headers.get(_HEADER)
    if text is None:
        return None
    if headers.get(_VERSION) != str(FORMAT_VERSION):
        raise ValueError(f'message format version "{headers.get(_VERSION)}" is not known: upgrade this reader')
    return _DECODER.decode(text)


def erased_in(headers: Mapping[str, str]) -> int:
    """How many records were blanked in the message, on the bus, because they were erased."""
    text = headers.get(_ERASED, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def with_erased(headers: Mapping[str, str], count: int) -> dict[str, str]:
    """Headers that say so."""
    return {**headers, _ERASED: str(count)}


def foreign_header(kind: Kind, tenant: Tenant, partition: int, message: Message) -> BatchHeader:
    """The header of a message without one: identified by (topic, partition, offset), arrived when it was appended."""
    return BatchHeader(
        tenant=tenant,
        kind=kind,
        producer=f"bus:{kind.topic}:{partition}",
        stream=str(message.offset),
        received_ns=message.appended_ns,
    )
