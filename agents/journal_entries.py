"""Entries: one line of `journalctl -o json` -> one NDJSON log record, and its cursor.

| field of the journal | of the record |
|---|---|
| MESSAGE | body; bytes that are no UTF-8 stay in the attribute `headwater.body.raw`, base64 |
| __REALTIME_TIMESTAMP | timestamp |
| PRIORITY | severity; not the 6 (info) that journald gives to every line of a service's standard output |
| _SYSTEMD_UNIT of a service, else SYSLOG_IDENTIFIER, else _COMM | service, if none is given |
| _HOSTNAME | host, if none is given |

`NAMES` lists the fields that become attributes by names of OpenTelemetry. A field that the program itself sent (without
"_" in front) becomes an attribute by its name in lower case. Other fields that journald adds are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from agents.lines import FLAG, RAW, RECORD_BYTES, Origin
from text.levels import of_syslog

NAMES = {
    "_PID": "process.pid",
    "_COMM": "process.executable.name",
    "_EXE": "process.executable.path",
    "_CMDLINE": "process.command_line",
    "_UID": "user.id",
    "_SYSTEMD_UNIT": "systemd.unit",
    "_TRANSPORT": "journald.transport",
    "SYSLOG_FACILITY": "syslog.facility.code",
    "SYSLOG_IDENTIFIER": "syslog.identifier",
    "SYSLOG_PID": "syslog.procid",
    "CODE_FILE": "code.file.path",
    "CODE_LINE": "code.line.number",
    "CODE_FUNC": "code.function.name",
    "MESSAGE_ID": "journald.message_id",
    "CONTAINER_ID_FULL": "container.id",
    "CONTAINER_NAME": "container.name",
    "IMAGE_NAME": "container.image.name",
}
_NUMBERS = frozenset({"_PID", "SYSLOG_FACILITY", "SYSLOG_PID", "CODE_LINE"})
_READ = frozenset({"MESSAGE", "PRIORITY", "SYSLOG_RAW", "SYSLOG_TIMESTAMP", "CONTAINER_ID"})
_OF_STDOUT = "6"  # the priority that journald gives to standard output; the text itself says more
MOST_CHARS = 8 << 10  # of an attribute; a longer one is cut
MOST_ATTRIBUTES = 64
MOST_BODY_CHARS = RECORD_BYTES
CUT_CHARS = RECORD_BYTES // 16  # for a body of characters that take many bytes as JSON

Entry = Mapping[str, Any]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def entry_of(line: bytes) -> Entry | None:
    """The fields of one line, or None if it is no entry with a cursor."""
    try:
        entry = _decode(line)
    except (ValueError, RecursionError):
        return None
    return entry if type(entry.get("__CURSOR")) is str else None


def record(entry: Entry, origin: Origin, observed_ns: int) -> bytes:
    """The entry as one line of NDJSON. A message that is too long for a record is cut and flagged."""
    made = _record(entry, origin, observed_ns, MOST_BODY_CHARS)
    return made if len(made) <= RECORD_BYTES else _record(entry, origin, observed_ns, CUT_CHARS)


def _record(entry: Entry, origin: Origin, observed_ns: int, most_chars: int) -> bytes:
    attributes: dict[str, Any] = {**origin.attributes, **_attributes(entry)}
    body = _body(entry.get("MESSAGE"), attributes)
    if len(body) > most_chars:
        body = body[:most_chars]
        attributes.pop(RAW, None)
        attributes[FLAG] = "cut"
    sent: dict[str, Any] = {
        "body": body,
        "observed_timestamp": observed_ns,
        "service": (origin.service or service_of(entry))[:256],
        "env": origin.env[:256],
        "host": (origin.host or _text(entry.get("_HOSTNAME")))[:256],
        "attributes": attributes,
    }
    time = _text(entry.get("__REALTIME_TIMESTAMP"))
    if time.isdecimal():
        sent["timestamp"] = int(time)
    priority = _text(entry.get("PRIORITY"))
    if len(priority) == 1 and priority in "01234567" and not (priority == _OF_STDOUT and _is_stdout(entry)):
        sent["severity_number"], sent["severity_text"] = of_syslog(int(priority))
    return _encode({name: value for name, value in sent.items() if value != "" or name == "body"}) + b"\n"


def service_of(entry: Entry) -> str:
    unit = _text(entry.get("_SYSTEMD_UNIT"))
    if unit.endswith(".service") and not unit.startswith("user@"):
        return unit.removesuffix(".service")
    for name in ("SYSLOG_IDENTIFIER", "_COMM"):
        if text := _text(entry.get(name)):
            return text
    return "journald"


def _is_stdout(entry: Entry) -> bool:
    return entry.get("_TRANSPORT") == "stdout"


def _attributes(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in entry.items():
        known = NAMES.get(name)
        if known is None and (name.startswith("_") or name in _READ):
            continue
        text = _text(value)[:MOST_CHARS]
        if text and len(found) < MOST_ATTRIBUTES:
            found[known or name.lower()] = int(text) if name in _NUMBERS and _is_short_number(text) else text
    return found


def _is_short_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 18


def _body(message: Any, attributes: dict[str, Any]) -> str:
    raw = _bytes(message)
    if raw is None:
        return _text(message)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if len(raw) < RECORD_BYTES // 4:
            attributes[RAW] = base64.b64encode(raw).decode()
        return raw.decode(errors="replace")


def _text(value: Any) -> str:
    """A field as text. journalctl writes bytes that are no UTF-8 as numbers, and a repeated field as a list."""
    if type(value) is str:
        return value
    raw = _bytes(value)
    if raw is not None:
        return raw.decode(errors="replace")
    if type(value) is list:
        return "\n".join(map(_text, value))
    return ""


def _bytes(value: Any) -> bytes | None:
    if type(value) is not list or not value:
        return None
    try:
        return bytes(value)
    except (TypeError, ValueError):
        return None
