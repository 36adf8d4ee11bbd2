"""Validation: candidate lines of a batch -> lines to forward, and a rejection for each other line.

A good batch costs one decode a line and a few checks of the whole batch. If one of these fails, each record is checked
by itself: one with the field names of another program is rewritten (`contracts.stray_fields`), and
`ingestion_api.models` gives the message for each record that fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec

from contracts.messages import Kind
from contracts.records import SentEvent, SentLog, SentMetric
from contracts.settings import Settings
from contracts.stray_fields import StrayFields, UnknownField
from contracts.timestamps import is_timestamp, timestamp_ns
from ingestion_api.candidates import Verdict
from ingestion_api.damage import not_json, not_utf8, out_of_range
from ingestion_api.models import refusal, unknown_field

Sent = SentLog | SentMetric | SentEvent
_SHAPES: dict[Kind, type[Sent]] = {Kind.LOGS: SentLog, Kind.METRICS: SentMetric, Kind.EVENTS: SentEvent}
_FlatAttributes = dict[str, str | int | float | bool | None]


class _FlatLog(SentLog, gc=False, forbid_unknown_fields=True):
    attributes: _FlatAttributes | None = None


class _FlatMetric(SentMetric, gc=False, forbid_unknown_fields=True):
    attributes: _FlatAttributes | None = None


class _FlatEvent(SentEvent, gc=False, forbid_unknown_fields=True):
    attributes: _FlatAttributes | None = None


_FLAT: dict[Kind, type[Sent]] = {Kind.LOGS: _FlatLog, Kind.METRICS: _FlatMetric, Kind.EVENTS: _FlatEvent}
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_SPACE = b" \t\r"
NO_FAULTS: Mapping[int, Verdict] = MappingProxyType({})


class Rejection(msgspec.Struct, frozen=True):
    """One rejected record."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Judged:
    """`lines` has one entry for each candidate, empty for a rejected or blank one.

    `changed`: at least one line is empty or rewritten. `rewritten`: number of changes to accepted records, by reason.
    """

    lines: list[bytes]
    accepted: int
    rejected: list[Rejection] = field(default_factory=list)
    changed: bool = False
    rewritten: Counter[str] = field(default_factory=Counter)


class Judge:
    """The rules for one kind of record. Thread-safe."""

    def __init__(self, kind: Kind, settings: Settings) -> None:
        self.kind = kind
        self._decode = msgspec.json.Decoder(_SHAPES[kind]).decode
        self._decode_flat = msgspec.json.Decoder(_FLAT[kind]).decode
        self._record_bytes = settings.ingest_record_kib * 1024
        self._attributes = settings.ingest_attributes
        self._depth = settings.ingest_depth
        keep_unknown = settings.ingest_unknown_fields == "attributes"
        self._stray = None if kind is Kind.METRICS else StrayFields(kind, keep_unknown)

    def judge(self, lines: list[bytes]) -> Judged:
        """Check the candidates `lines`. Never raises, for any input."""
        if self.all_good(lines):
            return Judged(lines, len(lines))
        return self.one_by_one(lines)

    def all_good(self, lines: list[bytes]) -> bool:
        """True if all candidates are records that can be forwarded as they are. Never raises."""
        if max(map(len, lines)) > self._record_bytes:
            return False
        records = self._flat(lines) or self._nested(lines)
        return bool(records) and self._complete(records) and all(map(is_timestamp, self._times(records)))

    def _flat(self, lines: list[bytes]) -> Sequence[Sent]:
        """The records of the usual batch: attributes hold no containers, so only their number is checked."""
        try:
            records = list(map(self._decode_flat, lines))
        except _BROKEN:
            return ()
        most = max((len(record.attributes) for record in records if record.attributes), default=0)
        return records if most <= self._attributes else ()

    def _nested(self, lines: list[bytes]) -> Sequence[Sent]:
        try:
            records = list(map(self._decode, lines))
        except _BROKEN:
            return ()
        return records if all(self._fits(record.attributes) for record in records) else ()

    def _complete(self, records: Sequence[Sent]) -> bool:
        if self.kind is not Kind.LOGS:
            return True
        # With both, the body wins and `message` becomes an attribute: the record must be rewritten.
        return not any((record.body is None) is (record.message is None) for record in records)  # type: ignore[union-attr] # logs

    def _times(self, records: Sequence[Sent]) -> list[str]:
        texts = [record.timestamp for record in records if type(record.timestamp) is str]
        if self.kind is Kind.LOGS:
            texts += [r.observed_timestamp for r in records if type(r.observed_timestamp) is str]  # type: ignore[union-attr] # logs
        return texts

    def one_by_one(self, lines: list[bytes], faults: Mapping[int, Verdict] = NO_FAULTS) -> Judged:
        """Check each candidate by itself, and rewrite those that need it. Never raises.

        `faults`: verdicts that stand already, by index.
        """
        judged = Judged([], 0)
        accepted, changed = 0, False
        for index, line in enumerate(lines):
            if not line.strip(_SPACE):
                judged.lines.append(b"")
                continue
            record, verdict = (line, faults[index]) if index in faults else self._read(line, judged.rewritten)
            if verdict is None:
                accepted += 1
                judged.lines.append(record)
                changed |= record is not line
            else:
                judged.rejected.append(Rejection(index, verdict[0], f"record {index}: {verdict[1]}"))
                judged.lines.append(b"")
        return replace(judged, accepted=accepted, changed=changed or accepted < len(lines))

    def verdict(self, line: bytes) -> Verdict | None:
        """(code, message) for one record; None if the record is valid, as it is or rewritten."""
        return self._read(line, Counter())[1]

    def _read(self, line: bytes, rewritten: Counter[str]) -> tuple[bytes, Verdict | None]:
        """The record to forward, and the verdict."""
        if len(line) > self._record_bytes:
            return line, self._too_large(line)
        try:
            record = self._decode(line)
            if self._complete([record]):
                return line, self._fault(record)
        except RecursionError:
            return line, self._too_deep()
        except UnicodeDecodeError:
            return line, not_utf8(line)
        except msgspec.ValidationError as error:
            return self._rewritten(line, str(error), rewritten)
        except msgspec.MsgspecError as error:
            return line, not_json(line, str(error))
        return self._rewritten(line, "", rewritten)

    def _rewritten(self, line: bytes, reason: str, rewritten: Counter[str]) -> tuple[bytes, Verdict | None]:
        """`reason`: why the decoder refused `line`; "" if a body is missing, or is there twice."""
        try:
            found = self._stray.rewrite(line) if self._stray else None
            if isinstance(found, UnknownField):
                return line, unknown_field(found.name)
            if found is None:
                return line, self._explained(line, reason)
            record = self._decode(found.line)
        except (*_BROKEN, ValueError):
            return line, self._explained(line, reason)
        if not self._complete([record]):
            return line, self._explained(line, reason)
        if len(found.line) > self._record_bytes:
            return line, self._too_large(found.line)
        verdict = self._fault(record)
        if verdict is None:
            rewritten.update(found.changes)
        return found.line, verdict

    def _fault(self, record: Sent) -> Verdict | None:
        for name in ("timestamp", "observed_timestamp"):
            if reason := _not_a_time(getattr(record, name, None)):
                return "invalid_timestamp", f'field "{name}": {reason}'
        return self._misfit(record.attributes)

    def _too_large(self, line: bytes) -> Verdict:
        return "record_too_large", f"{len(line)} bytes, the limit is {self._record_bytes}: send a smaller record"

    def _explained(self, line: bytes, reason: str) -> Verdict:
        try:
            found = refusal(self.kind, msgspec.json.decode(line))
        except RecursionError:
            return self._too_deep()
        except UnicodeDecodeError:
            return not_utf8(line)
        except msgspec.MsgspecError as error:
            # The first decoder stopped at a field of a wrong type, before the damage that the second decoder found.
            return out_of_range(reason) if isinstance(error, msgspec.ValidationError) else not_json(line, str(error))
        return found or (out_of_range(reason) if reason else ("missing_field", 'field "body" is required: add it'))

    def _fits(self, attributes: dict[str, Any] | None) -> bool:
        return self._misfit(attributes) is None

    def _misfit(self, attributes: dict[str, Any] | None) -> Verdict | None:
        if not attributes:
            return None
        count, depth = _measure(attributes)
        if depth + 1 > self._depth:
            return self._too_deep()
        if count > self._attributes:
            limit = f"the limit is {self._attributes}: send fewer"
            return "too_many_attributes", f'field "attributes": {count} of them, nested ones included; {limit}'
        return None

    def _too_deep(self) -> Verdict:
        return "too_deep", f'field "attributes" is nested deeper than {self._depth} levels: send fewer levels'


def _measure(attributes: dict[str, Any]) -> tuple[int, int]:
    """(keys and list items at every level, levels); without recursion."""
    count, depth = 0, 0
    level: list[Any] = [attributes]
    while level:
        depth += 1
        count += sum(map(len, level))
        below: list[Any] = []
        for container in level:
            values = container.values() if isinstance(container, dict) else container
            below += [value for value in values if isinstance(value, dict | list)]
        level = below
    return count, depth


def _not_a_time(value: str | int | float | None) -> str:
    if value is None:
        return ""
    try:
        timestamp_ns(value)
    except ValueError as error:
        return str(error)
    return ""
