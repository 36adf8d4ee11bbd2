"""OTLP as JSON, as OpenTelemetry's file exporter writes it: `{"resourceLogs": [...]}` -> one JSON record each.

A resource's `service.name`, `host.name` and `deployment.environment.name` become the fields of a record; its other
attributes, those of the scope and those of the record become attributes, where the record's win. A field of a wrong
type rejects its record; a resource that cannot be read rejects its line.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from ingestion_api.candidates import Candidates
from web.body import too_large

MARK = b'"resourceLogs"'
_MAX_COMMAS = 1_000_000  # each may mean one more object in memory
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SEVERITIES = {
    f"SEVERITY_NUMBER_{name}{step or ''}": 4 * rank + max(step, 1)
    for rank, name in enumerate(_LEVELS)
    for step in (0, 2, 3, 4)
}
_FIELDS = {
    "service.name": "service",
    "host.name": "host",
    "deployment.environment.name": "env",
    "deployment.environment": "env",
}


class _KeyValue(Struct):
    key: str
    value: Any = None


class _Owner(Struct):
    """A resource or a scope."""

    attributes: list[_KeyValue] | None = None
    name: str | None = None
    version: str | None = None


class _ScopeLogs(Struct, rename="camel"):
    scope: _Owner | None = None
    log_records: list[Raw] | None = None


class _ResourceLogs(Struct, rename="camel"):
    resource: _Owner | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _LogsData(Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | msgspec.UnsetType | None = msgspec.UNSET


class _LogRecord(Struct, rename="camel"):
    time_unix_nano: str | int | None = None
    observed_time_unix_nano: str | int | None = None
    severity_number: str | int | None = None
    severity_text: str | None = None
    body: Any = None
    attributes: list[_KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


_decode = msgspec.json.Decoder(_LogsData).decode
_decode_record = msgspec.json.Decoder(_LogRecord).decode
_decode_any = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode
_BROKEN = (msgspec.MsgspecError, ValueError, TypeError, AttributeError, KeyError)


def open_line(line: bytes, found: Candidates) -> bool:
    """Add the records of an OTLP line to `found`. False if the line is no OTLP: nothing is added.

    Raises:
        Problem: 413 `too_many_records`, `body_too_large`.
    """
    if line.count(b",") >= _MAX_COMMAS:
        raise too_large(found.limits.size_bytes, "when it is read")
    try:
        data = _decode(line)
        if data.resource_logs is msgspec.UNSET:
            return False
    except msgspec.ValidationError as error:
        if "$.resourceLogs" not in str(error):
            return False
        found.refuse(_fault(error))
        return True
    except (*_BROKEN, RecursionError):
        return False  # damaged JSON: the judge finds the place
    for resource in data.resource_logs or ():
        _open_resource(resource, found)
    return True


def _open_resource(logs: _ResourceLogs, found: Candidates) -> None:
    try:
        attributes = _attributes(logs.resource)
    except (*_BROKEN, RecursionError) as error:
        for scope in logs.scope_logs or ():
            for _ in scope.log_records or ():
                found.refuse(_fault(error))
        return
    fields: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        if field not in fields and (value := attributes.pop(name, None)) not in (None, ""):
            fields[field] = value if isinstance(value, str) else _encode(value).decode()
    for scope in logs.scope_logs or ():
        for raw in scope.log_records or ():
            try:
                line = _encode({**fields, **_record(raw, attributes, scope.scope)})
            except (*_BROKEN, RecursionError) as error:
                found.refuse(_fault(error))
            else:
                found.add(line)


def _record(raw: Raw, of_resource: dict[str, Any], scope: _Owner | None) -> dict[str, Any]:
    sent = _decode_record(raw)
    attributes = {**of_resource, **_attributes(scope)}
    if scope is not None:
        attributes |= {f"otel.scope.{key}": text for key in ("name", "version") if (text := getattr(scope, key))}
    attributes |= {pair.key: value for pair in sent.attributes or () if (value := any_value(pair.value)) is not None}
    if sent.event_name:
        attributes.setdefault("event.name", sent.event_name)
    body = any_value(sent.body)
    if body is None:
        body = sent.event_name or ""
    record = {
        "body": body if isinstance(body, str) else _encode(body).decode(),
        "timestamp": _time(sent.time_unix_nano),
        "observed_timestamp": _time(sent.observed_time_unix_nano),
        "severity_text": sent.severity_text,
        "severity_number": _severity(sent.severity_number),
        "trace_id": _id(sent.trace_id),
        "span_id": _id(sent.span_id),
        "attributes": attributes,
    }
    return {name: value for name, value in record.items() if name == "body" or value not in (None, "", 0, {})}


def _attributes(owner: _Owner | None) -> dict[str, Any]:
    pairs = (owner.attributes if owner else None) or ()
    return {pair.key: value for pair in pairs if (value := any_value(pair.value)) is not None}


def any_value(sent: Any) -> Any:
    """An AnyValue as a value of JSON; None if it is empty.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: It is no AnyValue.
        RecursionError: It is nested too deep.
    """
    if not sent:
        return None
    (kind, value), *_ = sent.items()
    if kind == "intValue":
        return int(value)
    if kind == "doubleValue":
        return value if isinstance(value, int | float) else _double(value)
    if kind == "arrayValue":
        return [any_value(item) for item in value.get("values") or ()]
    if kind == "kvlistValue":
        return {pair["key"]: any_value(pair.get("value")) for pair in value.get("values") or ()}
    if kind not in ("stringValue", "boolValue", "bytesValue"):
        raise ValueError(f'"{kind[:40]}" is no kind of value')
    return value


def _double(text: str) -> str | float:
    """JSON has no NaN and no Infinity, so OTLP writes them as text, and text they stay."""
    return text if text in ("NaN", "Infinity", "-Infinity") else float(text)


def _time(sent: str | int | None) -> str | int | None:
    return int(sent) if isinstance(sent, str) and sent.isascii() and sent.isdigit() and len(sent) < 20 else sent


def _severity(sent: str | int | None) -> str | int | None:
    if not isinstance(sent, str):
        return sent
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 4 else _SEVERITIES.get(sent, 0)


def _id(sent: str | None) -> str | None:
    return sent if sent and sent.strip("0") else None


def _fault(error: BaseException) -> tuple[str, str]:
    if isinstance(error, RecursionError):
        return "too_deep", "an attribute is nested too deep: send fewer levels"
    text = str(error)[:200]
    return "invalid_value", f"OTLP: {text[:1].lower()}{text[1:]}: send the JSON encoding of OTLP"
