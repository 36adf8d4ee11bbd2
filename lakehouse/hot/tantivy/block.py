"""Rows -> blocks, the documents of the hot index, and a stored block -> its rows.

A block holds up to `ROWS` rows of one tenant and one bus partition, alike where possible (sorted by service or name)
and of about one time (`cuts`), and is found by what any of them has. Which of them match is decided when the block is
read (`lakehouse.match`). One document a row costs twice the CPU and twice the bytes (docs/performance.md).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from lakehouse.hot.tantivy.cuts import cuts
from lakehouse.hot.tantivy.schema import INDEXES, pack, unpack
from lakehouse.hot.tantivy.terms import (
    MARKED,
    attributes_terms,
    keyword_term,
    keyword_terms,
    number_term,
    tenant_term,
    word_terms,
)
from lakehouse.record_view import public_fields
from text.words import split_plain

ROWS = 64  # 128 cost 8 % less to write, and twice as much to read where few rows of a block match
_LARGE = 8 * ROWS  # rows of a batch that has enough of a kind to be cut by itself
_WAITING = 4096  # rows of a tenant and partition that wait for others like them

_ENCODE = msgspec.json.Encoder().encode
_INDEX = operator.attrgetter("index")
_TIME = operator.attrgetter("timestamp_ns")


class _StoredMetric(MetricRow):
    value: float | None  # type: ignore[assignment]  # what is no finite number is null in JSON


class Origin(msgspec.Struct, array_like=True, gc=False):
    """What the rows of one batch have in common."""

    producer: str
    epoch: int
    stream: str
    received_ns: int
    sequence: int  # of line 0
    base: int  # packed position of line 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of a block that was read."""

    row: Any
    origin: Origin

    @property
    def place(self) -> tuple[int, int]:
        """(event time, packed position)"""
        return self.row.timestamp_ns, self.origin.base + self.row.index

    def found(self, kind: Kind, tenant: Tenant) -> Found:
        record = self.record(tenant)
        return Found(self.row.timestamp_ns, unpack(self.origin.base + self.row.index), public_fields(kind, record))

    def record(self, tenant: Tenant) -> dict[str, Any]:
        """The row by the names of its columns, with its origin."""
        row, origin = self.row, self.origin
        record = msgspec.structs.asdict(row) | msgspec.structs.asdict(origin)
        record["sequence"] = origin.sequence + row.index
        record["attributes"] = dict(sorted(row.attributes.items()))  # as the lake writes them
        record["tenant"] = tenant
        return record


_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {  # origins; for each row the number of its origin; rows
    Kind.LOGS: msgspec.json.Decoder(tuple[list[Origin], list[int], list[LogRow]]),
    Kind.METRICS: msgspec.json.Decoder(tuple[list[Origin], list[int], list[_StoredMetric]]),
    Kind.EVENTS: msgspec.json.Decoder(tuple[list[Origin], list[int], list[EventRow]]),
}


def rows_of(kind: Kind, source: bytes) -> Iterator[tuple[Any, Origin]]:
    """The rows of a stored block, in no order.

    Raises:
        ValueError: It is damaged.
    """
    origins, origin_of, rows = _DECODERS[kind].decode(source)
    return zip(rows, [origins[number] for number in origin_of], strict=True)


@dataclass(slots=True)
class _Waiting:
    """Rows of a tenant and partition that are not in a block yet, each with the number of its origin."""

    origins: list[Origin]
    rows: list[tuple[Any, int]]


class Blocks:
    """Batches of a kind -> blocks. A batch is taken whole or, when one of its rows cannot be written, not at all."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._alike = _ALIKE[kind]
        self._waiting: dict[tuple[Tenant, int], _Waiting] = {}

    def add(self, batch: Batch) -> list[Document]:
        """Take the rows of `batch`; return the blocks that are full.

        Raises:
            StoreError: A row cannot be written as JSON (text that is no Unicode), or a position is out of range.
        """
        header, rows = batch.header, batch.rows
        if not 0 <= rows[-1].index < INDEXES:
            raise StoreError(f"the batch at offset {batch.offset} has more than {INDEXES} lines")
        base = pack(Position(batch.partition, batch.offset, 0))
        origin = Origin(header.producer, header.epoch, header.stream, header.received_ns, header.sequence, base)
        try:
            if len(rows) >= _LARGE:
                ordered = sorted(rows, key=self._alike)
                return self._documents(header.tenant, [origin], ordered, [0] * len(rows))
            _ENCODE([origin, rows])  # what cannot be written is told now
        except (UnicodeEncodeError, OverflowError, TypeError) as error:
            raise StoreError(f"a row of the batch at offset {batch.offset} cannot be indexed: {error}") from error
        place = (header.tenant, batch.partition)
        waiting = self._waiting.setdefault(place, _Waiting([], []))
        number = len(waiting.origins)
        waiting.origins.append(origin)
        waiting.rows += [(row, number) for row in rows]
        return self._cut(place) if len(waiting.rows) >= _WAITING else []

    def rest(self) -> list[Document]:
        """Blocks of all that waits."""
        return [document for place in list(self._waiting) for document in self._cut(place)]

    def _cut(self, place: tuple[Tenant, int]) -> list[Document]:
        waiting = self._waiting.pop(place)
        ordered = sorted(waiting.rows, key=lambda entry: self._alike(entry[0]))
        rows, numbers = [row for row, _ in ordered], [number for _, number in ordered]
        return self._documents(place[0], waiting.origins, rows, numbers)

    def _documents(
        self, tenant: Tenant, origins: Sequence[Origin], rows: Sequence[Any], numbers: Sequence[int]
    ) -> list[Document]:
        times = list(map(_TIME, rows))
        return [self._document(tenant, origins, rows[part], numbers[part], times[part]) for part in cuts(times, ROWS)]

    def _document(
        self,
        tenant: Tenant,
        origins: Sequence[Origin],
        rows: Sequence[Any],
        numbers: Sequence[int],
        times: Sequence[int],
    ) -> Document:
        used = {number: place for place, number in enumerate(sorted(set(numbers)))}
        mine = [origins[number] for number in used]
        places = [used[number] for number in numbers] if len(mine) > 1 else [0] * len(rows)
        document = Document()
        terms = _terms(self._kind, tenant, rows, mine)
        if self._kind is not Kind.METRICS:
            plain, odd = split_plain([row.body for row in rows])
            document.add_text("words", plain)
            for body in odd:
                terms += word_terms(body)
        document.add_text("terms", " ".join(terms))
        document.add_bytes("source", _ENCODE([mine, places, rows]))
        document.add_integer("first_ns", min(times))
        document.add_integer("last_ns", max(times))
        document.add_unsigned("last_position", _last_position(mine, rows, places))
        return document


def _last_position(origins: Sequence[Origin], rows: Sequence[Any], places: Sequence[int]) -> int:
    if len(origins) == 1:
        return origins[0].base + int(max(map(_INDEX, rows)))
    return max(origins[place].base + int(row.index) for row, place in zip(rows, places, strict=True))


_RESOURCE = {  # keyword fields whose values many rows share
    kind: tuple(sorted(fields - {"producer", *MARKED})) for kind, fields in KEYWORD_FIELDS.items()
}
_RESOURCE_OF: dict[Kind, Callable[[Any], tuple[str, ...]]] = {
    kind: operator.attrgetter(*names) for kind, names in _RESOURCE.items()
}
_ALIKE: dict[Kind, Callable[[Any], Any]] = {
    Kind.LOGS: operator.attrgetter("service"),
    Kind.EVENTS: operator.attrgetter("service"),
    Kind.METRICS: operator.attrgetter("name"),
}


def _terms(kind: Kind, tenant: Tenant, rows: Sequence[Any], origins: Sequence[Origin]) -> list[str]:
    terms = [tenant_term(tenant)]
    terms += [keyword_term("producer", producer) for producer in {origin.producer for origin in origins} if producer]
    resource_of, names = _RESOURCE_OF[kind], _RESOURCE[kind]
    terms += [keyword_terms(names, resource) for resource in {resource_of(row) for row in rows}]
    terms += attributes_terms([row.attributes for row in rows if row.attributes])
    if kind is Kind.LOGS:
        terms += [number_term("severity_number", number) for number in {row.severity_number for row in rows}]
        for field in MARKED:
            values = {value for row in rows if (value := getattr(row, field))}
            if values:
                terms += [field, *(keyword_term(field, value) for value in values)]
    return terms
