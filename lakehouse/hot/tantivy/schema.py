"""The hot index: its fields, its words, and a bus position as one sortable integer."""

from __future__ import annotations

import functools

import tantivy

from contracts.errors import StoreError
from contracts.query import Position
from text.words import LONGEST_BYTES

_WORDS = "words"  # analyzer of texts
_SPACED = "spaced"  # analyzer of terms
_FORMAT = 4  # of what the terms of a record are and how its source is written; another number is another schema
MARK = f"mark{_FORMAT}"

_PARTITION_BITS, _OFFSET_BITS, _INDEX_BITS = 10, 38, 16
PARTITIONS = 1 << _PARTITION_BITS
OFFSETS = 1 << _OFFSET_BITS
INDEXES = 1 << _INDEX_BITS


@functools.cache
def schema() -> tantivy.Schema:
    """One document a block of rows (see `hot_block`): `terms` (see `hot_terms`) and `words` (tokens of the bodies) that
    any of its rows has, its first and last time, its last bus position, and `source`: the rows as JSON, stored.

    `MARK` finds the checkpoint documents, which have no tenant.
    """
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(MARK, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name=_SPACED, index_option="basic")
    builder.add_text_field("words", tokenizer_name=_WORDS, index_option="basic")
    builder.add_bytes_field("source", stored=True)
    builder.add_integer_field("first_ns", fast=True)
    builder.add_integer_field("last_ns", fast=True)
    builder.add_unsigned_field("last_position", fast=True)
    return builder.build()


@functools.cache
def _words() -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    long_filter = tantivy.Filter.remove_long(LONGEST_BYTES + 1)
    return builder.filter(long_filter).filter(tantivy.Filter.lowercase()).build()


def register_analyzers(index: tantivy.Index) -> None:
    index.register_tokenizer(_WORDS, _words())
    index.register_tokenizer(_SPACED, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())


def pack(position: Position) -> int:
    """`position` as an unsigned 64-bit integer of the same order.

    Raises:
        StoreError: A part is out of range (partitions to 1,023, offsets to 2^38, lines to 65,535).
    """
    partition, offset, index = position.partition, position.offset, position.index
    if not (0 <= partition < PARTITIONS and 0 <= offset < OFFSETS and 0 <= index < INDEXES):
        raise StoreError(f"bus position {position} does not fit the hot index: use at most {PARTITIONS} partitions")
    return partition << (_OFFSET_BITS + _INDEX_BITS) | offset << _INDEX_BITS | index


def unpack(packed: int) -> Position:
    return Position(
        packed >> (_OFFSET_BITS + _INDEX_BITS), packed >> _INDEX_BITS & (OFFSETS - 1), packed & (INDEXES - 1)
    )
