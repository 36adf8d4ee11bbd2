"""Decoder of one kind: lines -> `Sent…` records, also from lines with the field names of other programs.

The ingestion service has rewritten what it forwarded, so only messages of other producers need more than one decode.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from contracts.messages import Kind
from contracts.records import SentLog
from contracts.settings import Settings
from contracts.stray_fields import StrayFields, UnknownField

R = TypeVar("R")


class TolerantDecoder(Generic[R]):
    """Thread-safe, without state."""

    def __init__(self, kind: Kind, shape: type[R], settings: Settings) -> None:
        decoder: msgspec.json.Decoder[R] = msgspec.json.Decoder(shape)
        self._strict = decoder.decode
        self._stray = StrayFields(kind, settings.ingest_unknown_fields == "attributes")
        self.decode_lines = decoder.decode_lines

    def decode(self, line: bytes) -> R:
        """One record.

        Raises:
            ValueError: The line is no record.
            RecursionError: It is nested too deep.
        """
        try:
            record = self._strict(line)
        except msgspec.ValidationError:
            rewritten = self._rewritten(line)
            if rewritten is None:
                raise
            return self._strict(rewritten)
        if _has_both_bodies(record) and (rewritten := self._rewritten(line)) is not None:
            return self._strict(rewritten)
        return record

    def _rewritten(self, line: bytes) -> bytes | None:
        found = self._stray.rewrite(line)
        if isinstance(found, UnknownField):
            raise msgspec.ValidationError(f"Object contains unknown field `{found.name[:80]}`")
        return None if found is None else found.line


def _has_both_bodies(record: Any) -> bool:
    return type(record) is SentLog and record.body is not None and record.message is not None
