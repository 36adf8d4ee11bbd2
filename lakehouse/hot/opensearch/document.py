"""The rows of a batch -> lines of a bulk request, and a document that was found -> the record it was made from.

A line holds the action and the document. The document's `_id` is the record's place on the bus, so a replay of a batch
makes the same documents, which the engine then has already. Ids in the order of the bus cost the engine a quarter of
the space of hashes. Empty values are left out.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, Position
from contracts.records import attributes_text
from contracts.tenants import Tenant
from lakehouse.hot.opensearch.terms import LONGEST, attribute_terms, long_term
from lakehouse.record_view import public_fields
from text.words import all_plain, index_word, is_plain, words

_encode = msgspec.json.Encoder().encode

_PARTITION_BITS, _OFFSET_BITS, _INDEX_BITS = 10, 38, 16
_LOWEST = -(1 << 63)
LAST_OFFSET = (1 << _OFFSET_BITS) - 1
_SHARED = {  # keyword fields whose values many rows share
    Kind.LOGS: ("service", "env", "host", "severity_text"),
    Kind.EVENTS: ("service", "env", "host", "name"),
    Kind.METRICS: ("service", "env", "host", "name", "unit", "metric_kind"),
}
_SINGLE = ("trace_id", "span_id")


def pack(position: Position) -> int:
    """`position` as a signed 64-bit integer of the same order.

    Raises:
        StoreError: A part is out of range (partitions to 1,023, offsets to 2^38, lines to 65,535).
    """
    partition, offset, index = position.partition, position.offset, position.index
    if partition >> _PARTITION_BITS or offset >> _OFFSET_BITS or index >> _INDEX_BITS:
        raise StoreError(
            f"bus position {position} cannot be indexed", hint=f"use at most {1 << _PARTITION_BITS} partitions"
        )
    return (partition << (_OFFSET_BITS + _INDEX_BITS) | offset << _INDEX_BITS | index) + _LOWEST


def unpack(packed: int) -> Position:
    place = packed - _LOWEST
    offset = place >> _INDEX_BITS & ((1 << _OFFSET_BITS) - 1)
    return Position(place >> (_OFFSET_BITS + _INDEX_BITS), offset, place & ((1 << _INDEX_BITS) - 1))


def lines(batch: Batch) -> list[bytes]:
    """One line a row.

    Raises:
        StoreError: A row cannot be written as JSON (text that is no Unicode), or a position is out of range.
    """
    if batch.rows and batch.rows[-1].index >> _INDEX_BITS:
        raise StoreError(f"the batch at offset {batch.offset} has more than {1 << _INDEX_BITS} lines")
    base = pack(Position(batch.partition, batch.offset, 0))
    try:
        return _written(batch, base)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise StoreError(f"a row of the batch at offset {batch.offset} cannot be indexed: {error}") from error


def _written(batch: Batch, base: int) -> list[bytes]:
    header, shared_of, own_of = batch.header, _SHARED_OF[batch.kind], _OWN[batch.kind]
    sender = b',"tenant":%b,"producer":%b' % (_encode(header.tenant), _encode(header.producer))
    if len(header.producer) > LONGEST:
        sender, shared_of = b',"tenant":%b' % _encode(header.tenant), _shared(batch.kind, header.producer)
    origin = _encode([header.epoch, header.stream, header.received_ns])[:-1]
    made = []
    rows: Sequence[Any] = batch.rows
    are_plain = batch.kind is not Kind.METRICS and all_plain([row.body for row in rows])
    for row in rows:
        place, time_ns, attributes = base + row.index, row.timestamp_ns, row.attributes
        shared, terms = shared_of(row)
        own = own_of(row, are_plain)
        if attributes:
            own += b',"attributes":' + _encode(attributes)
            terms = [*terms, *attribute_terms(attributes)]
        if terms:
            own += b',"terms":' + _encode(terms)
        made.append(
            b'{"create":{"_id":"%020d"}}\n{"@timestamp":%d,"timestamp_ns":%d,"position":%d%b%b,"origin":%b,%d]%b}\n'
            % (
                place - _LOWEST,
                time_ns // 1_000_000,
                time_ns,
                place,
                sender,
                shared,
                origin,
                header.sequence + row.index,
                own,
            )
        )
    return made


def _shared(kind: Kind, long_producer: str = "") -> Callable[[Any], tuple[bytes, list[str]]]:
    """A function from row to what many rows have in common: its part of the document, and terms. With it stands what
    else is too long for a field."""
    names, is_log = _SHARED[kind], kind is Kind.LOGS
    values_of = operator.attrgetter(*names)

    def of(row: Any) -> tuple[bytes, list[str]]:
        if long_producer or (is_log and (len(row.trace_id) > LONGEST or len(row.span_id) > LONGEST)):
            others = {"producer": long_producer} | {name: getattr(row, name) for name in _SINGLE if is_log}
            long = {name: value for name, value in others.items() if len(value) > LONGEST}
            return _keywords((*names, *long), (*values_of(row), *long.values()))
        return _keywords(names, values_of(row))

    return of


@lru_cache(maxsize=4096)
def _keywords(names: tuple[str, ...], values: tuple[str, ...]) -> tuple[bytes, list[str]]:
    """The inside of a JSON object with a comma in front, and terms for what is too long for a field: that is kept
    beside, and not indexed."""
    given = {name: value for name, value in zip(names, values, strict=True) if value}
    fields: dict[str, Any] = {name: value for name, value in given.items() if len(value) <= LONGEST}
    long = {name: value for name, value in given.items() if len(value) > LONGEST}
    if long:
        fields["long"] = long
    inside = b"," + _encode(fields)[1:-1] if fields else b""
    return inside, [long_term(name, value) for name, value in long.items()]


def _log(row: Any, can_split: bool) -> bytes:
    own = b',"severity_number":%d' % row.severity_number
    if body := row.body:
        own += b',"body":' + _encode(body) if can_split else _body(body)
    if 0 < len(row.trace_id) <= LONGEST:
        own += b',"trace_id":' + _encode(row.trace_id)
    if 0 < len(row.span_id) <= LONGEST:
        own += b',"span_id":' + _encode(row.span_id)
    if row.given:
        own += b',"zone":%b,"given":%b' % (_encode(row.zone), row.given.encode())
    return own


def _body(body: str) -> bytes:
    """A text that the engine can split; or one that it cannot, unindexed, with its words."""
    if is_plain(body):
        return b',"body":' + _encode(body)
    return b',"unsplit":%b,"words":%b' % (_encode(body), _encode(" ".join(map(index_word, words(body)))))


def _event(row: Any, _can_split: bool) -> bytes:
    return _body(row.body) if row.body else b""


def _metric(row: Any, _can_split: bool) -> bytes:
    return b',"value":%b' % _encode(row.value) if math.isfinite(row.value) else b""


_SHARED_OF = {kind: _shared(kind) for kind in _SHARED}
_OWN: dict[Kind, Callable[[Any, bool], bytes]] = {Kind.LOGS: _log, Kind.EVENTS: _event, Kind.METRICS: _metric}


def plainer(line: bytes) -> bytes | None:
    """The same with attributes as one text, for an engine that refused their depth or size; None: it is so already."""
    action, text = line.split(b"\n", 1)
    document = msgspec.json.decode(text)
    if not isinstance(document.get("attributes"), dict):
        return None
    document["attributes"] = attributes_text(document["attributes"])
    return action + b"\n" + _encode(document) + b"\n"


def columns(kind: Kind, tenant: Tenant, source: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a document by the names of its columns, as `lakehouse.record_view` reads it."""
    epoch, stream, received_ns, sequence = source["origin"]
    record = dict.fromkeys((*KEYWORD_FIELDS[kind], "body"), "") | {"severity_number": 0, "value": None}
    record |= source
    record |= source.get("long", {})
    record["body"] = source.get("unsplit", record["body"])
    attributes = source.get("attributes", {})
    if isinstance(attributes, str):
        attributes = msgspec.json.decode(attributes)
    return record | {
        "tenant": tenant,
        "epoch": epoch,
        "stream": stream,
        "received_ns": received_ns,
        "sequence": sequence,
        "attributes": dict(sorted(attributes.items())),  # as the lake writes them
    }


def found(kind: Kind, record: Mapping[str, Any]) -> Found:
    return Found(record["timestamp_ns"], unpack(record["position"]), public_fields(kind, record))
