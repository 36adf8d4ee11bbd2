"""Keys: the names under which loggers write level, time and trace ids -> how their values are read.

`USUAL` holds the names of most loggers, as they are written, for a quick look; `role_of` knows all of them, in any
case, dotted or nested. Where several keys say the same, the first of the tables that can be read wins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flows.parse.facts import LineFacts
from text import dates, levels, times
from text.escapes import without_colours
from text.levels import Severity

_HEX = frozenset("0123456789abcdefABCDEF")
Take = Callable[[LineFacts, object, int], bool]


class KeyRole(NamedTuple):
    """What a key says. `rank`: the lower one is asked first. `nanos`: key of the rest below the second, or ""."""

    rank: int
    take: Take
    nanos: str = ""


def _level(read: Callable[[object], Severity | None]) -> Take:
    def take(found: LineFacts, value: object, arrival_ns: int) -> bool:  # noqa: ARG001  one shape for all
        if found.severity is not None:
            return False
        found.severity = read(value)
        return found.severity is not None

    return take


def _take_time(found: LineFacts, value: object, arrival_ns: int) -> bool:
    if found.time_ns is not None:
        return False
    kind = type(value)
    if kind is str:
        if len(value) == 27:  # type: ignore[arg-type]  # mypy does not read the line above
            found.time_ns = times.micros(value, 0)  # type: ignore[arg-type]
            if found.time_ns is not None:
                return True
        time = dates.whole(without_colours(value), arrival_ns)  # type: ignore[arg-type]
        if time is not None:
            found.time_ns, _, found.zone = time
    elif kind is int or kind is float:
        found.time_ns = times.of_number(value)  # type: ignore[arg-type]
    return found.time_ns is not None


def _take_trace(found: LineFacts, value: object, arrival_ns: int) -> bool:  # noqa: ARG001
    trace = "" if found.trace_id else hex_id(value, 32)
    found.trace_id = found.trace_id or trace
    return bool(trace)


def _take_span(found: LineFacts, value: object, arrival_ns: int) -> bool:  # noqa: ARG001
    span = "" if found.span_id else hex_id(value, 16)
    found.span_id = found.span_id or span
    return bool(span)


def _take_google_trace(found: LineFacts, value: object, arrival_ns: int) -> bool:
    return type(value) is str and _take_trace(found, value.rpartition("/")[2], arrival_ns)


def _take_parent(found: LineFacts, value: object, arrival_ns: int) -> bool:
    """W3C `traceparent`: `00-<trace>-<span>-01`."""
    parts = value.split("-") if type(value) is str and len(value) == 55 else []
    if len(parts) != 4 or found.trace_id or found.span_id:
        return False
    return _take_trace(found, parts[1], arrival_ns) and _take_span(found, parts[2], arrival_ns)


def _take_priority(found: LineFacts, value: object, arrival_ns: int) -> bool:
    """A level of syslog as text; a number ranks jobs as often as it is a level."""
    return type(value) is str and _named(found, value, arrival_ns)


def _take_initial(found: LineFacts, value: object, arrival_ns: int) -> bool:
    """`l`, which is a length or a line as often as a level: names alone."""
    return type(value) is str and not value.isdecimal() and _named(found, value, arrival_ns)


def hex_id(value: object, digits: int) -> str:
    """A trace or span id in lower case, or "". An id of zeros means that there is none."""
    if type(value) is str and len(value) == digits and _HEX.issuperset(value) and value.strip("0"):
        return value.lower()
    return ""


_named, _severity = _level(levels.valued), _level(levels.of_severity)
_TRACES = ("trace_id", "traceId", "trace.id", "TraceId", "traceID", "TraceID", "traceid", "otelTraceID", "@tr")
_SPANS = ("span_id", "spanId", "span.id", "SpanId", "spanID", "SpanID", "spanid", "otelSpanID", "@sp")
_ID_KEYS: tuple[tuple[str, Take], ...] = (
    *((key, _take_trace) for key in (*_TRACES, "trace-id", "x-trace-id", "dd.trace_id", "mdc.traceid", "mdc.trace_id")),
    *(
        (key, _take_span)
        for key in (*_SPANS, "span-id", "x-span-id", "dd.span_id", "mdc.spanid", "mdc.span_id", "span")
    ),
    *((key, _take_google_trace) for key in ("logging.googleapis.com/trace", "trace")),
    ("logging.googleapis.com/spanId", _take_span),
    ("traceparent", _take_parent),
)
USUAL: dict[str, Take] = {
    **dict.fromkeys(("level", "lvl", "severity_text", "loglevel", "log.level"), _named),
    "severity": _severity,
    **dict.fromkeys(("time", "timestamp", "ts", "@timestamp"), _take_time),
    **{written: take for key, take in _ID_KEYS for written in (key, key.upper(), key.title(), key.lower())},
}

_LEVEL_KEYS: tuple[tuple[str, Take], ...] = (
    *((key, _named) for key in ("level", "log.level", "lvl", "loglevel")),
    *((key, _severity) for key in ("severity", "log.severity", "severity_label", "log_severity", "error_severity")),
    *((key, _named) for key in ("severity_text", "severitytext", "log_level", "levelname", "level_name", "level.name")),
    *((key, _named) for key in ("@level", "@l", "log.level.name", "levelstr", "level_str", "level_label", "sev")),
    *((key, _named) for key in ("log.syslog.severity.name", "syslog.severity.name", "syslog_severity", "logseverity")),
    *((key, _level(levels.of_otel)) for key in ("severity_number", "severitynumber")),
    *((key, _level(levels.of_python)) for key in ("levelno", "level_no", "level.no")),
    *((key, _named) for key in ("level_value", "levelvalue", "log.syslog.severity.code", "syslog.severity")),
    ("PRIORITY", _named),  # of journald, as it is written
    ("priority", _take_priority),
    ("s", _level(levels.of_letter)),
    ("l", _take_initial),
)
_TIME_KEYS = (
    *(
        "@timestamp",
        "timestamp",
        "time",
        "ts",
        "@t",
        "@time",
        "datetime",
        "date_time",
        "asctime",
        "eventtime",
        "event_time",
    ),
    *("_time", "time_iso8601", "timestamp_ms", "timemillis", "time_ms", "ts_ms", "timestampms", "time_unix_nano"),
    *("timeunixnano", "instant.epochsecond", "timestamp.seconds", "timestampseconds", "ts.seconds", "time.seconds"),
    *("time.timestamp", "time.repr", "timestamp.$date", "t.$date", "t.$date.$numberlong", "time.$date", "date.$date"),
    *("log_time", "logtime", "log_timestamp", "logtimestamp", "eventtimestamp", "event_timestamp", "event.created"),
    *(
        "_source_realtime_timestamp",
        "__realtime_timestamp",
        "msec",
        "time_local",
        "time_stamp",
        "log.time",
        "log.timestamp",
    ),
    *("startutc", "start_time", "startlocal", "start_timestamp", "started_at", "requesttime", "created", "date", "t"),
    "observedtimeunixnano",
)
_NANOS = {
    "instant.epochsecond": "instant.nanoofsecond",
    "timestamp.seconds": "timestamp.nanos",
    "ts.seconds": "ts.nanos",
    "time.seconds": "time.nanos",
    "timestampseconds": "timestampnanos",
}
_TAKES = (*_LEVEL_KEYS, *((key, _take_time) for key in _TIME_KEYS), *((key.lower(), take) for key, take in _ID_KEYS))
_ROLES = {key: KeyRole(rank, take, _NANOS.get(key, "")) for rank, (key, take) in reversed([*enumerate(_TAKES)])}
# Objects that loggers put everything into.
_WRAPPERS = (
    "record.",
    "jsonpayload.",
    "fields.",
    "_source.",
    "log.",
    "entry.",
    "payload.",
    "attributes.",
    "contextmap.",
)
_MOST_KEYS = 8192
_SEEN: dict[str, KeyRole | None] = {}


def role_of(key: str) -> KeyRole | None:
    """What `key` says, in any case and within the usual wrappers; None: it is an attribute like others."""
    if key in _SEEN:
        return _SEEN[key]
    name = key.lower()
    role = _ROLES.get(key) or _ROLES.get(name)
    for wrapper in _WRAPPERS if role is None else ():
        if name.startswith(wrapper) and (inner := _ROLES.get(name[len(wrapper) :])) is not None:
            role = inner._replace(rank=inner.rank + len(_TAKES), nanos=inner.nanos and wrapper + inner.nanos)
            break
    if len(_SEEN) < _MOST_KEYS and len(key) <= 64:
        _SEEN[key] = role
    return role
