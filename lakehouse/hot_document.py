"""The rows of a batch -> index documents as JSON text, and a stored document -> the record it was made from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import tantivy

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, Position
from contracts.records import EventRow, LogRow, MetricRow
from contracts.tenants import Tenant
from lakehouse.hot_schema import INDEXES, pack, unpack
from lakehouse.hot_terms import attribute_terms, keyword_term
from lakehouse.public import public_fields

_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_DECODE = msgspec.json.Decoder().decode

_ORIGIN = ("producer", "epoch", "stream", "received_ns", "sequence")
_APART = ("index", "timestamp_ns", "body")  # have fields of their own
_COLUMNS = {
    Kind.LOGS: [name for name in LogRow.__struct_fields__ if name not in _APART],
    Kind.METRICS: [name for name in MetricRow.__struct_fields__ if name not in _APART],
    Kind.EVENTS: [name for name in EventRow.__struct_fields__ if name not in _APART],
}
_KEYWORDS = {kind: sorted(fields - {"producer"}) for kind, fields in KEYWORD_FIELDS.items()}


def documents(batch: Batch) -> list[str]:
    """One document a row, for `IndexWriter.add_json`.

    Raises:
        StoreError: A row cannot be written as JSON (text that is no Unicode), or a position is out of range.
    """
    header = batch.header
    base = pack(Position(batch.partition, batch.offset, 0))
    head = _ENCODE({"tenant": header.tenant})[:-1].decode() + ","
    origin = "[" + _ENCODE([header.producer, header.epoch, header.stream, header.received_ns])[1:-1].decode()
    terms_of = _terms_writer(batch.kind, header.producer)
    own_fields, columns_of = _OWN_FIELDS[batch.kind], _COLUMNS_OF[batch.kind]
    made = []
    try:
        for row in batch.rows:
            fields = own_fields(row)
            fields["timestamp_ns"] = row.timestamp_ns
            fields["position"] = base + row.index
            fields["terms"] = terms_of(row)
            rest = _ENCODE(columns_of(row))[1:].decode()
            fields["source"] = f"{origin},{header.sequence + row.index},{rest}"
            made.append(head + _ENCODE(fields)[1:].decode())
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise StoreError(f"a row of the batch at offset {batch.offset} cannot be indexed: {error}") from error
    if batch.rows and not 0 <= batch.rows[-1].index < INDEXES:
        raise StoreError(f"the batch at offset {batch.offset} has more than {INDEXES} lines")
    return made


def _terms_writer(kind: Kind, producer: str) -> Callable[[Any], list[str]]:
    """A function from row to terms. What rows of a batch have in common is made once."""
    names = _KEYWORDS[kind]
    always, no_body = keyword_term("producer", producer), keyword_term("body", "")
    has_body = kind is not Kind.METRICS
    known: dict[tuple[str, str], str] = {}

    def terms_of(row: Any) -> list[str]:
        terms = [always]
        for name in names:
            pair = (name, getattr(row, name))
            term = known.get(pair)
            if term is None:
                term = known[pair] = keyword_term(*pair)
            terms.append(term)
        if has_body and not row.body:
            terms.append(no_body)
        for key, value in row.attributes.items():
            terms += attribute_terms(key, value)
        return terms

    return terms_of


def _log_fields(row: LogRow) -> dict[str, Any]:
    return {"body": row.body, "severity_number": row.severity_number}


def _event_fields(row: EventRow) -> dict[str, Any]:
    return {"body": row.body}


def _metric_fields(row: MetricRow) -> dict[str, Any]:
    return {"value": row.value} if math.isfinite(row.value) else {}


def _log_columns(row: LogRow) -> tuple[Any, ...]:
    return (
        row.severity_number,
        row.severity_text,
        row.service,
        row.env,
        row.host,
        row.attributes,
        row.trace_id,
        row.span_id,
    )


def _event_columns(row: EventRow) -> tuple[Any, ...]:
    return (row.name, row.service, row.env, row.host, row.attributes)


def _metric_columns(row: MetricRow) -> tuple[Any, ...]:
    return (row.name, row.value, row.unit, row.metric_kind, row.service, row.env, row.host, row.attributes)


_OWN_FIELDS: dict[Kind, Callable[[Any], dict[str, Any]]] = {
    Kind.LOGS: _log_fields,
    Kind.EVENTS: _event_fields,
    Kind.METRICS: _metric_fields,
}
_COLUMNS_OF: dict[Kind, Callable[[Any], tuple[Any, ...]]] = {
    Kind.LOGS: _log_columns,
    Kind.EVENTS: _event_columns,
    Kind.METRICS: _metric_columns,
}


def found(kind: Kind, tenant: Tenant, timestamp_ns: int, packed: int, document: tantivy.Document) -> Found:
    """The public record of a stored document."""
    source = _DECODE(str(document.get_first("source")))
    record = dict(zip((*_ORIGIN, *_COLUMNS[kind]), source, strict=True))
    record |= {"tenant": tenant, "timestamp_ns": timestamp_ns, "body": document.get_first("body") or ""}
    return Found(timestamp_ns, unpack(packed), public_fields(kind, record))
