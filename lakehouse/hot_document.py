"""The rows of a batch -> index documents, and a stored document -> the record it was made from."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
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
from lakehouse.hot_terms import MARKED, attribute_terms, keyword_term, keyword_terms, tenant_term
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
_NO_BODY = keyword_term("body", "")
_RESOURCE = {  # keyword fields whose values many rows share
    kind: tuple(sorted(fields - {"producer", *MARKED})) for kind, fields in KEYWORD_FIELDS.items()
}


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
    """A function from row to terms. What many rows have in common is made once."""
    names, header = _RESOURCE[batch.kind], batch.header
    resource_of = operator.attrgetter(*names)
    always = f"{tenant_term(header.tenant)} {keyword_terms(('producer',), (header.producer,))}".rstrip()
    known: dict[tuple[str, ...], str] = {}
    more_of = _MORE_TERMS[batch.kind]

    def terms_of(row: Any) -> str:
        resource = resource_of(row)
        terms = known.get(resource)
        if terms is None:
            terms = known[resource] = f"{always} {keyword_terms(names, resource)}".rstrip()
        more = more_of(row)
        if row.attributes:
            return " ".join((terms, *more, *attribute_terms(row.attributes)))
        return " ".join((terms, *more)) if more else terms

    return terms_of


def _more_log_terms(row: LogRow) -> Sequence[str]:
    if row.body and not row.trace_id and not row.span_id:
        return ()
    values = zip(MARKED, (row.trace_id, row.span_id), strict=True)
    more = [f"{field} {keyword_term(field, value)}" for field, value in values if value]
    return more if row.body else [*more, _NO_BODY]


def _more_event_terms(row: EventRow) -> Sequence[str]:
    return () if row.body else (_NO_BODY,)


def _more_metric_terms(_row: MetricRow) -> Sequence[str]:
    return ()


def _add_log_fields(document: Document, row: LogRow) -> None:
    document.add_text("body", row.body)
    document.add_integer("severity_number", row.severity_number)


def _add_event_fields(document: Document, row: EventRow) -> None:
    document.add_text("body", row.body)


def _add_metric_fields(document: Document, row: MetricRow) -> None:
    if math.isfinite(row.value):
        document.add_float("value", row.value)


_OWN_FIELDS: dict[Kind, Callable[[Document, Any], None]] = {
    Kind.LOGS: _add_log_fields,
    Kind.EVENTS: _add_event_fields,
    Kind.METRICS: _add_metric_fields,
}
_MORE_TERMS: dict[Kind, Callable[[Any], Sequence[str]]] = {
    Kind.LOGS: _more_log_terms,
    Kind.EVENTS: _more_event_terms,
    Kind.METRICS: _more_metric_terms,
}
_COLUMNS_OF = {kind: operator.attrgetter(*names) for kind, names in _COLUMNS.items()}


def found(kind: Kind, tenant: Tenant, timestamp_ns: int, packed: int, document: Document) -> Found:
    """The public record of a stored document."""
    source = _DECODE(document.get_first("source") or b"")
    record = dict(zip((*_ORIGIN, *_COLUMNS[kind]), source, strict=True))
    record["attributes"] = dict(sorted(record["attributes"].items()))  # as the lake writes them
    record |= {"tenant": tenant, "timestamp_ns": timestamp_ns, "body": document.get_first("body") or ""}
    return Found(timestamp_ns, unpack(packed), public_fields(kind, record))
