"""Records with the field names of other programs: one JSON object -> the same record with the fields of `Sent…`.

Only records that do not decode as `SentLog` or `SentEvent` come here. The ingestion service and the flows (for messages
of other producers) share this module, so that a record is read alike on both ways. Values are moved as the bytes that
were sent: numbers keep their digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from contracts.messages import Kind
from contracts.records import SentEvent, SentLog
from contracts.timestamps import is_timestamp

# Aliases in any case of letters (journald writes MESSAGE, .NET Timestamp, Serilog @t): of `body` (the first that is
# text wins), of `timestamp` (the first that is a time wins), of `severity_text`, `trace_id` and `span_id`.
TEXT_NAMES = ("body", "message", "log", "msg", "@m", "@mt")
TIME_NAMES = ("timestamp", "@timestamp", "time", "ts", "date", "@t", "__realtime_timestamp")
LEVEL_NAMES = ("severity_text", "level", "severity", "@l", "log.level", "levelname", "loglevel", "priority")
ID_NAMES = (
    ("trace_id", 32, ("trace_id", "traceid", "trace.id", "@tr")),
    ("span_id", 16, ("span_id", "spanid", "span.id", "@sp")),
)
OWNERS = ("service", "env", "host")
MAX_NAME = 256

MOVED, ALIAS, AS_TEXT, SHADOWED = "unknown_field", "alias", "value_as_text", "name_taken"
FROM_RECORD = "body_from_record"

_Fields = dict[str, bytes]  # JSON texts
_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode
_EPOCH = re.compile(rb"(?:\d{10}|\d{13}|\d{16}|\d{19})(?:\.\d+)?\Z")  # of our days, in s, ms, us or ns
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")  # a date alone is not the time of a record
_SYSLOG = re.compile(rb'"[0-7]"\Z')
_ID = re.compile(rb'"[0-9a-fA-F]+"\Z')
_NUMBER = re.compile(rb"-?\d")
_SEVERITY = re.compile(rb'"?([1-9]\d{0,2})(?:\.0)?"?\Z')
# Source: LogSeverity of Google Cloud Logging.
_GOOGLE = {
    100: "DEBUG",
    200: "INFO",
    300: "NOTICE",
    400: "WARNING",
    500: "ERROR",
    600: "CRIT",
    700: "ALERT",
    800: "EMERG",
}
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A record with known fields only. `changes`: for each change its reason, for the counters."""

    line: bytes
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A record with an unknown field `name`, where unknown fields are refused."""

    name: str


class StrayFields:
    """Reads the records of one kind. Thread-safe, without state."""

    def __init__(self, kind: Kind, keep_unknown: bool) -> None:
        """`keep_unknown`: unknown fields become attributes; else the record is refused."""
        self._known = frozenset((SentLog if kind is Kind.LOGS else SentEvent).__struct_fields__)
        self._is_log = kind is Kind.LOGS
        self._keep_unknown = keep_unknown

    def rewrite(self, line: bytes) -> Rewritten | UnknownField | None:
        """The record with known fields only; None if nothing needs a change.

        An alias fills a field that is missing. Otherwise it is an unknown field, like any other: it becomes an
        attribute, unless the record has an attribute of this name. A log with a time and unknown fields, but without a
        body, has its whole JSON text as body: parsers of shippers leave no line.

        Raises:
            ValueError: `line` is not one JSON object.
            RecursionError: It is nested too deep.
        """
        fields: _Fields = {}
        stray: _Fields = {}
        nothing = ""
        for name, raw in _decode(line).items():
            value = bytes(raw)
            if value != b"null":
                (fields if name in self._known else stray)[name] = value
            elif name not in self._known:
                nothing = name or "null"
        said = {**fields, **stray} if self._is_log else {}
        changes: list[str] = []
        _fill_body(fields, stray, changes)
        _fill_time(fields, stray, changes)
        if self._keep_unknown:
            _open_owners(fields, stray, changes)
        if self._is_log:
            if "body" not in fields and "timestamp" in fields and stray:
                fields["body"] = _encode(_joined(said).decode())
                changes.append(FROM_RECORD)
            _fill_level(fields, stray, changes)
            _fill_ids(fields, stray, changes)
        if not self._keep_unknown and (stray or nothing):
            return UnknownField(next(iter(stray), nothing))
        if stray:
            _keep(fields, stray, changes)
        return Rewritten(_joined(fields), tuple(changes)) if changes or nothing else None


def _fill_body(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    known = "message" in fields
    if known:
        stray["message"] = fields.pop("message")
    if "body" not in fields:
        found = _named(TEXT_NAMES, stray)
        if not found:
            return
        name = next((name for name in found if _is_text(stray[name])), found[0])
        fields["body"] = stray.pop(name)
        if not (known and name == "message"):
            changes.append(ALIAS)
    if not _is_text(fields["body"]):
        fields["body"] = _json_text(fields["body"])
        changes.append(AS_TEXT)


def _fill_time(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    if "timestamp" in fields:
        return
    name = next((name for name in _named(TIME_NAMES, stray) if is_time(stray[name])), None)
    if name is not None:
        fields["timestamp"] = stray.pop(name)
        changes.append(ALIAS)


def _open_owners(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    """`"host": {"name": "h1", ...}`, as Beats and ECS write it: the name is the field, the object an attribute."""
    for owner in OWNERS:
        if owner in fields and fields[owner].startswith(b"{"):
            stray[owner] = fields.pop(owner)
            name = bytes(_decode(stray[owner]).get("name", b""))
            if _is_text(name) and len(_decode_text(name)) <= MAX_NAME:
                fields[owner] = name
                changes.append(ALIAS)


def _fill_level(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    for name in ("severity_text", "level"):
        if name in fields and _NUMBER.match(fields[name]):
            fields[name] = _as_text(fields[name])
            changes.append(AS_TEXT)
    if "severity_text" in fields:
        if "level" in fields:
            stray["level"] = fields.pop("level")
    elif "level" not in fields:
        for name in _named(LEVEL_NAMES, stray):
            if _take_number(name, fields, stray) or _take_level(name, fields, stray):
                changes.append(ALIAS)
                return
        if text := _level("log.level", _inner(stray, "log", "level")):
            fields["severity_text"] = text
            changes.append(ALIAS)


def _take_number(name: str, fields: _Fields, stray: _Fields) -> bool:
    """A number of OpenTelemetry (8-24) or Google Cloud (100-800), which only `severity` has."""
    found = _SEVERITY.match(stray[name]) if name.lower() == "severity" else None
    number = int(found[1]) if found else 0
    if 8 <= number <= 24 and "severity_number" not in fields:
        fields["severity_number"] = b"%d" % number
    elif number in _GOOGLE:
        fields["severity_text"] = _encode(_GOOGLE[number])
    else:
        return False
    del stray[name]
    return True


def _take_level(name: str, fields: _Fields, stray: _Fields) -> bool:
    text = _level(name, stray[name])
    if text:
        fields["severity_text"] = text
        del stray[name]
    return bool(text)


def _inner(stray: _Fields, owner: str, name: str) -> bytes:
    """The value of `{"owner": {"name": ...}}`, as ECS nests it; empty if there is none. The object stays."""
    value = stray.get(owner, b"")
    return bytes(_decode(value).get(name, b"")) if value.startswith(b"{") else b""


def _as_text(value: bytes) -> bytes:
    """A number as a JSON text: `50.0`, as Lua writes 50, is "50"."""
    return b'"%s"' % value.removesuffix(b".0")


def _level(name: str, value: bytes) -> bytes:
    """The level as text; empty if `value` is none. `priority` is a level only in syslog: others rank jobs by it."""
    text = value if _is_text(value) else _as_text(value) if _NUMBER.match(value) else b'""'
    if len(text) > 4 * MAX_NAME + 2 or (name.lower() == "priority" and not _SYSLOG.match(text)):
        return b""
    return text if 0 < len(_decode_text(text)) <= MAX_NAME else b""


def _fill_ids(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    for field, digits, aliases in ID_NAMES:
        if field not in fields:
            name = next((name for name in _named(aliases, stray) if _is_id(stray[name], digits)), None)
            if name is not None:
                fields[field] = stray.pop(name)
                changes.append(ALIAS)
            elif _is_id(inner := _inner(stray, field.removesuffix("_id"), "id"), digits):
                fields[field] = inner
                changes.append(ALIAS)


def _is_id(value: bytes, digits: int) -> bool:
    """An id of zeros means that there is none."""
    return len(value) == digits + 2 and _ID.match(value) is not None and value.strip(b'"0') != b""


def _named(aliases: tuple[str, ...], stray: _Fields) -> list[str]:
    """The fields whose names are aliases, in the order of the aliases."""
    found = [(aliases.index(name.lower()), name) for name in stray if name.lower() in aliases]
    return [name for _, name in sorted(found)] if len(found) > 1 else [name for _, name in found]


def _keep(fields: _Fields, stray: _Fields, changes: list[str]) -> None:
    own = fields.get("attributes", b"{}")
    if not own.startswith(b"{"):
        return  # no object: the record is refused for it
    attributes = {name: bytes(raw) for name, raw in _decode(own).items()} if own != b"{}" else {}
    taken = len(stray.keys() & attributes.keys()) if attributes else 0
    changes += [SHADOWED] * taken + [MOVED] * (len(stray) - taken)
    fields["attributes"] = _joined({**stray, **attributes})


def _joined(fields: _Fields) -> bytes:
    return _encode({name: Raw(value) for name, value in fields.items()})


def _is_text(value: bytes) -> bool:
    return value.startswith(b'"')


def is_time(value: bytes) -> bool:
    """True if a JSON value is a time of our days: a duration, a counter and a date alone are not."""
    if value[:1] != b'"':
        return _EPOCH.match(value) is not None
    text = _decode_text(value) if len(value) <= MAX_NAME else ""
    if _EPOCH.match(text.encode()):
        return True
    return _CLOCK.match(text) is not None and is_timestamp(text)


def _json_text(value: bytes) -> bytes:
    return _encode(msgspec.json.format(value, indent=-1).decode())


def objects(line: bytes, limit: int) -> list[bytes]:
    """JSON objects that stand on one line without a separator; [line] if the line does not hold several.

    Of more than `limit` objects only `limit + 1` are returned. What follows the last object that can be read is one
    more item, so that nothing is lost. Linear in the length of the line.
    """
    found: list[bytes] = []
    rest = memoryview(line)
    while len(found) < limit:
        end = _end_of_value(rest)
        if end is None:
            break
        found.append(bytes(rest[:end]).strip())
        rest = rest[end:]
    return [*found, bytes(rest)] if found else [line]


def _end_of_value(text: memoryview) -> int | None:
    """Where the first JSON object ends, if something follows it."""
    try:
        _decode_any(text)
    except (ValueError, RecursionError) as error:
        found = _TRAILING.search(str(error))
        return int(found.group(1)) - 1 if found and bytes(text[:1]) == b"{" else None
    return None
