"""Bus messages: one accepted request is one message, an NDJSON payload with headers.

The payload holds one JSON record a line. An **empty line stands for a rejected record**, so the line number always
equals the record's index in the request, and the record's sequence number is `sequence + line`. The payload may be a
zstd frame (`content-encoding: zstd`), exactly as the client sent it.

A foreign message (of a producer that is not ours) may lack all headers; `foreign_header` then gives its header.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from contracts.tenants import Tenant

FORMAT_VERSION = 1
ERASED = "erased"  # reason of a drop: the record belongs to a subject whose records were erased


class Kind(enum.StrEnum):
    """Kind of a record. The bus topic is `Kind.topic`; the Delta table and the hot index have the kind's name."""

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
        payload: Bytes as appended.
        headers: Text pairs as appended. Empty for a foreign message.
        offset: Position in the partition, from 0, without gaps while retained; -1 before the append.
        appended_ns: Time at which the bus stored the message, Unix nanoseconds UTC; 0 before the append.
    """

    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    offset: int = -1
    appended_ns: int = 0


class BatchHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a batch in the headers of its message. See `to_headers`, `from_headers`.

    Attributes:
        tenant: Tenant that owns the records.
        kind: Kind of the records.
        producer: Stable id of the sender. Agents: their own id. `Idempotency-Key` k: "key:k". Neither: "req:" and
            the request id. Foreign: "bus:", the topic and the partition.
        epoch: +1 whenever the producer lost its state. 0 for producers without epochs.
        stream: The producer's stream, e.g. one tailed file or "host". "" for producers without streams.
        sequence: Sequence number of line 0. 0 for producers without sequence numbers.
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
    """The batch header in the headers of a message; None for a foreign message.

    Raises:
        ValueError: The batch header is damaged or of a later version.
    """
    text = headers.get(_HEADER)
    if text is None:
        return None
    if headers.get(_VERSION) != str(FORMAT_VERSION):
        raise ValueError(f'message format version "{headers.get(_VERSION)}" is unknown: upgrade this process')
    return _DECODER.decode(text)


def erased_in(headers: Mapping[str, str]) -> int:
    """Number of records that an erasure blanked in the message on the bus."""
    text = headers.get(_ERASED, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def with_erased(headers: Mapping[str, str], count: int) -> dict[str, str]:
    """`headers` with the number of erased records set to `count`."""
    return {**headers, _ERASED: str(count)}


def foreign_header(kind: Kind, tenant: Tenant, partition: int, message: Message) -> BatchHeader:
    """A header for a foreign message: its id is (topic, partition, offset), its arrival is the time of the append."""
    return BatchHeader(
        tenant=tenant,
        kind=kind,
        producer=f"bus:{kind.topic}:{partition}",
        stream=str(message.offset),
        received_ns=message.appended_ns,
    )
