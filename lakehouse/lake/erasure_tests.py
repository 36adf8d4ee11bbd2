"""An erasure -> tests of rows and of dead letters: does it belong to the subject?

A row is tested as a search tests it (`hot_match`). A dead letter is a record that could not be read, so it is tested
twice, and goes when either says so: its payload is read as far as it can be read, and tested as a row; and the words
and values of the query are looked for in its text, wherever they stand. What only a value's size or absence tells
(ranges, NOT, _exists_) decides nothing in a text. So a letter that mentions the subject goes, also where it is
another's; none that mentions it stays.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import zstandard

from contracts.messages import Kind
from contracts.query import And, Exists, Node, Not, Or, Range, Term, Wildcard
from contracts.tenants import Tenant
from lakehouse.match import Match, matcher
from text.patterns import compiled, escape
from text.wildcards import as_regex
from text.words import words

TESTED = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
_EPOCH, _MICROSECOND = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(microseconds=1)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_UNPACKED_BYTES = 64 << 20
DEEPEST = 256  # objects in objects that become dotted keys: the most that HEADWATER_INGEST_DEPTH may say
_TEXTS = ("service", "env", "host", "severity_text", "trace_id", "span_id", "name", "unit", "metric_kind", "body")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose records are meant.

    Attributes:
        where: By kind; a kind that is absent has none of them.
        before_ns: Only records received before, a multiple of 1,000.
    """

    tenant: Tenant
    where: Mapping[Kind, Node]
    before_ns: int


class Tests:
    """Of one subject; the tenant and the time of arrival are the caller's to look at."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.rows: dict[Kind, Match] = {kind: matcher(node, kind) for kind, node in subject.where.items()}
        self._mentions = [_mention(node) for node in subject.where.values()]

    def row(self, kind: Kind, row: Mapping[str, Any]) -> bool:
        """Whether a row of a lake table, by its columns, is the subject's."""
        stored = SimpleNamespace(**row)
        stored.attributes = _decode(row["attributes"])
        stored.timestamp_ns = (row["timestamp"] - _EPOCH) // _MICROSECOND * 1000
        return self.rows[kind](stored, stored)

    def letter(self, source_kind: str, producer: str, payload: bytes) -> bool:
        """Whether a dead letter may be the subject's; `source_kind` is what it was sent as."""
        if not self.rows:
            return False
        text = letter_text(payload)
        if any(mention(text) is Said.YES for mention in self._mentions):
            return True
        return any(self._is_row(kind, producer, text.record) for kind in self._kinds(source_kind))

    def _kinds(self, source_kind: str) -> list[Kind]:
        return [kind for kind in self.rows if kind.value == source_kind or source_kind not in TESTED]

    def _is_row(self, kind: Kind, producer: str, record: dict[str, Any] | None) -> bool:
        if record is None:
            return False
        try:
            return self.rows[kind](lenient_row(record), SimpleNamespace(producer=producer))
        except (TypeError, ValueError, AttributeError, RecursionError):  # a value of a type that no row has
            return False


class Said(enum.Enum):
    YES = enum.auto()
    NO = enum.auto()
    NOTHING = enum.auto()


@dataclass(frozen=True, slots=True)
class LetterText:
    """A payload as text: as it stands and, where it is JSON, every text in it as it was meant.

    Attributes:
        record: Where the payload is one JSON object.
    """

    whole: str
    words: list[str]
    record: dict[str, Any] | None


def letter_text(payload: bytes) -> LetterText:
    plain = _unpacked(payload)
    parts = [plain.decode(errors="replace")]
    record = None
    for line in plain.split(b"\n"):
        try:
            value = msgspec.json.decode(line)
        except (ValueError, RecursionError):
            continue
        parts += _texts(value)
        record = value if isinstance(value, dict) else record
    whole = "\n".join(parts)
    return LetterText(whole, words(whole), record)


def _unpacked(payload: bytes) -> bytes:
    if not payload.startswith(zstandard.FRAME_HEADER):
        return payload
    try:
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        found: bytes = unpacker.stream_reader(payload, read_across_frames=True).read(_UNPACKED_BYTES)
        return found
    except zstandard.ZstdError:
        return payload


def _texts(value: Any) -> list[str]:
    """Every key and text in order. No recursion: the decoder takes deeper nesting than the interpreter's stack does."""
    texts: list[str] = []
    open_ = [iter((value,))]
    while open_:
        for inner in open_[-1]:
            if isinstance(inner, str):
                texts.append(inner)
            elif isinstance(inner, dict):
                open_.append(iter([part for pair in inner.items() for part in pair]))
                break
            elif isinstance(inner, list):
                open_.append(iter(inner))
                break
        else:
            open_.pop()
    return texts


Mention = Callable[[LetterText], Said]


def _mention(node: Node) -> Mention:
    match node:
        case And(nodes):
            return _and([_mention(inner) for inner in nodes])
        case Or(nodes):
            return _or([_mention(inner) for inner in nodes])
        case Term(_, value):
            return _holds(value)
        case Wildcard(_, pattern):
            return _fits(pattern)
        case Not() | Range() | Exists():
            return lambda _text: Said.NOTHING
    return lambda _text: Said.YES  # everything of the tenant


def _and(parts: list[Mention]) -> Mention:
    def said(text: LetterText) -> Said:
        answers = {part(text) for part in parts}
        if Said.NO in answers:
            return Said.NO
        return Said.YES if Said.YES in answers else Said.NOTHING

    return said


def _or(parts: list[Mention]) -> Mention:
    def said(text: LetterText) -> Said:
        answers = {part(text) for part in parts}
        if Said.YES in answers:
            return Said.YES
        return Said.NOTHING if Said.NOTHING in answers else Said.NO

    return said


def _holds(value: str) -> Mention:
    wanted, folded = words(value), value.lower()

    def said(text: LetterText) -> Said:
        if not wanted:
            return Said.YES if folded in text.whole.lower() else Said.NO
        found = any(
            text.words[at : at + len(wanted)] == wanted for at, word in enumerate(text.words) if word == wanted[0]
        )
        return Said.YES if found else Said.NO

    return said


def _fits(pattern: str) -> Mention:
    """Anywhere: a value stands in the midst of a line."""
    found = compiled(as_regex(pattern.lower(), "[^\n]", escape)).search
    return lambda text: Said.YES if found(text.whole.lower()) else Said.NO


def lenient_row(record: Mapping[str, Any]) -> SimpleNamespace:
    """A record that no parser took, as much of a row as it gives; what it calls otherwise is an attribute."""
    attributes: dict[str, Any] = {}
    _flatten(attributes, record.get("attributes") if isinstance(record.get("attributes"), dict) else {})
    named = {*_TEXTS, "message", "level", "attributes", "timestamp", "value", "severity_number", "kind"}
    _flatten(attributes, {key: value for key, value in record.items() if key not in named})
    texts = {name: value if isinstance(value := record.get(name), str) else "" for name in _TEXTS}
    texts["body"] = texts["body"] or (record["message"] if isinstance(record.get("message"), str) else "")
    texts["metric_kind"] = texts["metric_kind"] or str(record.get("kind", ""))
    severity = record.get("severity_number", 0)
    number = severity if isinstance(severity, int) else 0
    return SimpleNamespace(
        **texts,
        severity_number=number,
        value=record.get("value") if isinstance(record.get("value"), int | float) else None,
        timestamp_ns=record["timestamp_ns"] if isinstance(record.get("timestamp_ns"), int) else None,
        attributes=attributes,
    )


def _flatten(into: dict[str, Any], values: Mapping[str, Any] | Any) -> None:
    """Dotted keys, as of `flows.parse.attributes`, of objects as deep as its limit can ever be."""
    open_: list[tuple[str, Any]] = [("", values)]
    for _ in range(DEEPEST):
        deeper: list[tuple[str, Any]] = []
        for before, inner in open_:
            for key, value in inner.items():
                if isinstance(value, dict):
                    deeper.append((f"{before}{key}.", value))
                else:
                    into[f"{before}{key}"] = value
        open_ = deeper
