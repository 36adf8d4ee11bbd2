"""Records by the OpenTelemetry log and metric model: as senders write them, and as rows.

Each kind has two shapes. `Sent…` is one NDJSON line of a client (aliases, optional fields); `…Row` is the form in both
stores. Rows carry time as `int` nanoseconds since the epoch, UTC. The flow **cuts them to whole microseconds**, so that
hot store and Delta (which holds microseconds) agree on every value.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(max_length=256)]
Attributes = dict[str, Any]


class SentLog(Struct, gc=False, forbid_unknown_fields=True):
    """One log record as sent; only a body is required (`message` and `level` are aliases).

    `observed_timestamp` is the time at which the sender read the record. It is used if no `timestamp` is sent and the
    text contains none. `observed_timezone` is the time zone of the machine that read the record (an IANA name or an
    offset like "+05:30"): a time in the text that names no zone is in this zone. `preceding_text` is the start of the
    last record of the same source that contained a time: a text without a time takes that time.
    """

    body: str | None = None
    message: str | None = None
    timestamp: str | int | float | None = None
    observed_timestamp: str | int | float | None = None
    service: Name | None = None
    env: Name | None = None
    host: Name | None = None
    severity_text: Name | None = None
    severity_number: Annotated[int, Meta(ge=0, le=24)] | None = None
    level: Name | None = None
    attributes: Attributes | None = None
    trace_id: Annotated[str, Meta(max_length=64)] | None = None
    span_id: Annotated[str, Meta(max_length=64)] | None = None
    observed_timezone: Annotated[str, Meta(max_length=64)] | None = None
    preceding_text: Annotated[str, Meta(max_length=256)] | None = None


class SentMetric(Struct, gc=False, forbid_unknown_fields=True):
    """One metric point as sent. `kind` "sum" is a cumulative monotonic counter."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    value: float
    unit: Annotated[str, Meta(max_length=64)] | None = None
    kind: Annotated[str, Meta(pattern="^(gauge|sum)\\Z")] = "gauge"
    timestamp: str | int | float | None = None
    service: Name | None = None
    env: Name | None = None
    host: Name | None = None
    attributes: Attributes | None = None


class SentEvent(Struct, gc=False, forbid_unknown_fields=True):
    """One event as sent."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    body: str | None = None
    timestamp: str | int | float | None = None
    service: Name | None = None
    env: Name | None = None
    host: Name | None = None
    attributes: Attributes | None = None


class SentDeadLetter(Struct, gc=False):
    """One record that a flow could not use, as it is on the topic `dead_letters`.

    Attributes:
        payload: The record's bytes, base64 (decoded by msgspec into `bytes`).
        reason: Stable code, e.g. "invalid_json".
        message: The fault in words.
        stage: Step that found the fault: "decode", "parse", "hot", "lake".
        kind: Kind of the topic that held the record.
        bus_partition, bus_offset, bus_index: Position on that topic (index: line of the payload).
        producer, epoch, stream, sequence: Identity of the record at its sender.
        arrived_ns: Arrival at the API, Unix nanoseconds UTC.
    """

    payload: bytes
    reason: str
    message: str
    stage: str
    kind: str
    bus_partition: int
    bus_offset: int
    bus_index: int
    producer: str
    epoch: int
    stream: str
    sequence: int
    arrived_ns: int


class LogRow(Struct, gc=False, omit_defaults=True):
    """One log record as stored. `index` is its line in the bus message; `attributes` is flat (dotted keys).

    `given` is JSON text that says which of the values the sender gave; `zone` is the time zone in which a time of the
    text is read that names none. Rows of before have neither ("").
    """

    index: int
    timestamp_ns: int
    severity_number: int  # 0 (unspecified), 1-24
    severity_text: str
    service: str
    env: str
    host: str
    body: str
    attributes: Attributes
    trace_id: str
    span_id: str
    given: str = ""
    zone: str = ""


class MetricRow(Struct, gc=False):
    """One metric point as stored."""

    index: int
    timestamp_ns: int
    name: str
    value: float
    unit: str
    metric_kind: str  # "gauge" or "sum"
    service: str
    env: str
    host: str
    attributes: Attributes


class EventRow(Struct, gc=False):
    """One event as stored."""

    index: int
    timestamp_ns: int
    name: str
    body: str
    service: str
    env: str
    host: str
    attributes: Attributes


class DeadLetterRow(Struct, gc=False):
    """One dead letter as stored in Delta."""

    index: int
    timestamp_ns: int  # arrival of the record at the API
    payload: bytes
    reason: str
    message: str
    stage: str
    source_kind: str
    source_partition: int
    source_offset: int
    source_index: int
    source_producer: str
    source_epoch: int
    source_stream: str
    source_sequence: int


Row = LogRow | MetricRow | EventRow | DeadLetterRow

_ATTRIBUTES_ENCODER = msgspec.json.Encoder(order="deterministic")


attributes_json = _ATTRIBUTES_ENCODER.encode  # `attributes_text` as UTF-8


def attributes_text(attributes: Attributes) -> str:
    """Flat attributes as canonical JSON text: sorted keys, no spaces. The form Delta holds."""
    return attributes_json(attributes).decode() if attributes else "{}"


def record_id(tenant: str, producer: str, epoch: int, stream: str, sequence: int) -> str:
    """The 128-bit id of a record, 32 hex digits. Answers compute it; no store holds it.

    MD5 of the five parts joined by "/", with "%" and "/" percent-escaped, so that any SQL engine can compute the id
    from the lake's columns. The id is no protection against forgery.
    """
    return hashlib.md5(
        _id_prefix(tenant, producer, epoch, stream) + b"%d" % sequence, usedforsecurity=False
    ).hexdigest()


@functools.lru_cache(maxsize=1024)
def _id_prefix(*parts: str | int) -> bytes:
    return "".join(str(part).replace("%", "%25").replace("/", "%2F") + "/" for part in parts).encode()
