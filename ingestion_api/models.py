"""Records as the API publishes them: Pydantic models -> the OpenAPI schema, and the messages of a refusal.

The compiled decoder of `contracts.records` decides which records are accepted (shared with the flows, about four times
as fast). These models state the same rules for Pydantic, and a property test compares the two.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.messages import Kind
from contracts.records import SentLog
from contracts.stray_fields import OWNERS, TEXT_NAMES, TIME_NAMES, is_time
from contracts.timestamps import timestamp_ns


def _is_time(value: str | int | float) -> str | int | float:
    timestamp_ns(value)
    return value


Name = Annotated[str, Field(max_length=256)]
Id = Annotated[str, Field(max_length=64)]
Time = Annotated[
    str | int | float,
    AfterValidator(_is_time),
    Field(description="RFC 3339 with any offset, or an epoch number in s, ms, us or ns."),
]
Attributes = Annotated[dict[str, Any], Field(description="Any further fields, nested within the limits.")]


Text = Annotated[Any, Field(description="Text. An object, a list, a number or a boolean becomes its JSON text.")]
Level = Annotated[Name | int | float, Field(description="A name, or a number as loggers use.")]
Owner = Annotated[
    Name | dict[str, Any],
    Field(description="A name. Of an object, the text `name` is the name, and the object becomes an attribute."),
]
AliasOfBody = Annotated[Any, Field(description="Alias of `body`, if `body` is missing; else an attribute.")]
AliasOfTime = Annotated[
    Any, Field(description="Alias of `timestamp`, if that is missing and the value is a time; else an attribute.")
]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    timestamp: Time | None = None
    service: Name | None = None
    env: Name | None = None
    host: Name | None = None
    attributes: Attributes | None = None


class _Tolerant(_Record):
    """Any further field becomes an attribute (unless HEADWATER_INGEST_UNKNOWN_FIELDS is "refuse")."""

    model_config = ConfigDict(extra="allow", strict=True)

    service: Owner | None = None  # type: ignore[assignment] # wider
    env: Owner | None = None  # type: ignore[assignment] # wider
    host: Owner | None = None  # type: ignore[assignment] # wider
    body: Text = None
    message: AliasOfBody = None
    log: AliasOfBody = None
    msg: AliasOfBody = None
    at_timestamp: AliasOfTime = Field(None, alias="@timestamp")
    time: AliasOfTime = None
    ts: AliasOfTime = None
    date: AliasOfTime = None


class LogRecord(_Tolerant):
    """One log record; only `body` (or an alias of it) is required."""

    observed_timestamp: Time | None = Field(None, description="Time of reading; used if `timestamp` is missing.")
    severity_text: Level | None = None
    severity_number: int | None = Field(None, ge=0, le=24)
    level: Level | None = Field(None, description="Alias of `severity_text`.")
    severity: Any = Field(None, description="Alias of `severity_text`, if it is a name or a number; else an attribute.")
    trace_id: Id | None = None
    span_id: Id | None = None
    observed_timezone: Id | None = Field(None, description="Zone of the reader: IANA name, or offset like +05:30.")
    preceding_text: Name | None = Field(None, description="Start of the last record of the source with a time.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not _has_body(self.model_dump(by_alias=True, exclude_none=True)):
            raise ValueError('a log record needs "body" (or "message", "log", "msg")')
        return self


def _has_body(record: dict[str, Any]) -> bool:
    """True for an alias, and for a record that has a time and a field that is unknown and not the time."""
    if any(name.lower() in TEXT_NAMES for name in record):
        return True
    unknown = [name for name in record if name not in SentLog.__struct_fields__]
    unknown += [name for name in OWNERS if isinstance(record.get(name), dict)]
    if "timestamp" in record:
        return bool(unknown)
    times = [name for name in unknown if name.lower() in TIME_NAMES and is_time(msgspec.json.encode(record[name]))]
    return bool(times) and len(unknown) > 1


class MetricPoint(_Record):
    """One metric point. `sum` is a cumulative monotonic counter."""

    name: str = Field(min_length=1, max_length=256)
    value: float = Field(allow_inf_nan=False)
    unit: Id | None = None
    kind: Literal["gauge", "sum"] = "gauge"


class Event(_Tolerant):
    """One event."""

    name: str = Field(min_length=1, max_length=256)


MODELS: dict[Kind, type[BaseModel]] = {Kind.LOGS: LogRecord, Kind.METRICS: MetricPoint, Kind.EVENTS: Event}


class Rejection(BaseModel):
    """The reason why one record was not accepted."""

    index: int = Field(description="Element of the array, or line of the NDJSON, from 0.")
    code: str
    message: str


class Answer(BaseModel):
    """202: every accepted record is durable. `duplicate`: an earlier request with this batch was stored already."""

    accepted: int
    rejected: list[Rejection]
    duplicate: bool


_TIME = "a time is RFC 3339 text or an epoch number in s, ms, us or ns"
_CODES = {"extra_forbidden": "unknown_field", "missing": "missing_field", "string_too_long": "too_long"}


def refusal(kind: Kind, record: object) -> tuple[str, str] | None:
    """(code, message) for the first field at fault; None if Pydantic finds no fault."""
    if not isinstance(record, dict):
        return "not_an_object", f"a record is a JSON object, this is {_shown(record)}: send one object for each record"
    try:
        MODELS[kind].model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        code = _CODES.get(first["type"], "invalid_value") if first["loc"] else "missing_field"
        return code, _message(first["loc"], first["type"], first)
    return None


def unknown_field(name: str) -> tuple[str, str]:
    """(code, message) for a field that is refused."""
    return "unknown_field", f'field "{name[:80]}" is unknown: put it under "attributes"'


def _message(place: tuple[int | str, ...], problem: str, about: Any) -> str:
    # Pydantic appends the member of the union that it tried; the sender knows only the field's name.
    name = str(place[0])[:80] if place else ""
    if problem == "extra_forbidden":
        return unknown_field(name)[1]
    if problem == "missing":
        return f'field "{name}" is required: add it'
    text = about["msg"].removeprefix("Value error, ")
    text = _TIME if name in ("timestamp", "observed_timestamp") else f"{text[:1].lower()}{text[1:]}"
    if not name:
        return f"{text}: add it"
    return f'field "{name}": {text}, got {_shown(about["input"])}: correct it, or put the value under "attributes"'


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"a JSON {'object' if isinstance(value, dict) else 'array'}"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)  # a sender's words
    return text if len(text) <= 60 else f"{text[:57]}..."
