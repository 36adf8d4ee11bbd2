"""The rows of a batch -> index documents, and a stored document -> the record it was made from."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import msgspec
from tantivy import Document

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import KEYWORD_FIELDS, Position
from contracts.records import EventRow, LogRow, MetricRow
from contracts.tenants import Tenant
from lakehouse.hot_schema import INDEXES, pack, unpack
from lakehouse.hot_terms import attribute_terms, keyword_term, tenant_term
from lakehouse.public import public_fields

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode

_ORIGIN = ("producer", "epoch", "stream", "received_ns", "sequence")
_APART = ("index", "timestamp_ns", "body")  # have fields of their own
_COLUMNS = {
    Kind.LOGS: [name for name in LogRow.__struct_fields__ if name not in _APART],
    Kind.METRICS: [name for name in MetricRow.__struct_fields__ if name not in _APART],
    Kind.EVENTS: [name for name in EventRow.__struct_fields__ if name not in _APART],
}
_KEYWORDS = {kind: sorted(fields - {"producer"}) for kind, fields in KEYWORD_FIELDS.items()}


def documents(batch: Batch) -> list[Document]:
    """One document a row.

    Raises:
        StoreError: A row cannot be written as JSON (text that is no Unicode), or a position is out of range.
    """
    header = batch.header
    base = pack(Position(batch.partition, batch.offset, 0))
    origin = _ENCODE([header.producer, header.epoch, header.stream, header.received_ns])[:-1]
    terms_of, columns_of, add_own_fields = _terms_writer(batch), _COLUMNS_OF[batch.kind], _OWN_FIELDS[batch.kind]
    made = []
    try:
        for row in batch.rows:
            document = Document()
            document.add_text("terms", terms_of(row))
            document.add_bytes(
                "source", b"%b,%d,%b" % (origin, header.sequence + row.index, _ENCODE(columns_of(row))[1:])
            )
            document.add_integer("timestamp_ns", row.timestamp_ns)
            document.add_unsigned("position", base + row.index)
            add_own_fields(document, row)
            made.append(document)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise StoreError(f"a row of the batch at offset {batch.offset} cannot be indexed: {error}") from error
    if batch.rows and not 0 <= batch.rows[-1].index < INDEXES:
        raise StoreError(f"the batch at offset {batch.offset} has more than {INDEXES} lines")
    return made


def _terms_writer(batch: Batch) -> Callable[[Any], str]:
    """A function from row to terms. What rows of a batch have in common is made once."""
    keywords_of = operator.attrgetter(*_KEYWORDS[batch.kind])
    always = tenant_term(batch.header.tenant)
    if batch.header.producer:
        always = f"{always} {keyword_term('producer', batch.header.producer)}"
    no_body = keyword_term("body", "")
    has_body = batch.kind is not Kind.METRICS
    known: dict[tuple[str, ...], str] = {}

    def terms_of(row: Any) -> str:
        keywords = keywords_of(row)
        terms = known.get(keywords)
        if terms is None:
            pairs = zip(_KEYWORDS[batch.kind], keywords, strict=True)
            terms = known[keywords] = " ".join((always, *(keyword_term(*pair) for pair in pairs if pair[1])))
        if has_body and not row.body:
            terms = f"{terms} {no_body}"
        if row.attributes:
            return " ".join((terms, *itertools.starmap(attribute_terms, row.attributes.items())))
        return terms

    return terms_of


def _add_log_fields(document: Document, row: LogRow) -> None:
    document.add_text("body", row.body)
    document.add_integer("severity_number", row.severity_number)


def _add_event_fields(document: Document, row: EventRow) -> None:
    document.add_text("body", row.body)


def _add_metric_fields(document: Document, row: MetricRow) -> None:
    if math.isfinite(row.value):
        document.add_float("value", row.value)


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


_OWN_FIELDS: dict[Kind, Callable[[Document, Any], None]] = {
    Kind.LOGS: _add_log_fields,
    Kind.EVENTS: _add_event_fields,
    Kind.METRICS: _add_metric_fields,
}
_COLUMNS_OF: dict[Kind, Callable[[Any], tuple[Any, ...]]] = {
    Kind.LOGS: _log_columns,
    Kind.EVENTS: _event_columns,
    Kind.METRICS: _metric_columns,
}


def found(kind: Kind, tenant: Tenant, timestamp_ns: int, packed: int, document: Document) -> Found:
    """The public record of a stored document."""
    source = _DECODE(document.get_first("source") or b"")
    record = dict(zip((*_ORIGIN, *_COLUMNS[kind]), source, strict=True))
    record["attributes"] = dict(sorted(record["attributes"].items()))  # as the lake writes them
    record |= {"tenant": tenant, "timestamp_ns": timestamp_ns, "body": document.get_first("body") or ""}
    return Found(timestamp_ns, unpack(packed), public_fields(kind, record))
