"""Text: one log line -> time, severity and attributes that stand in it. The line itself stays as it is.

A *form* is one way in which lines are written. Which forms are tried follows from the first character; lines of one
batch are mostly of one form, so the caller tries the last one first (`Finder`).
"""

# ruff: noqa: ARG001  every form takes the same arguments, and some need fewer

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts.timestamps import timestamp_ns
from flows.parse import access_keys, access_log, request_lines, text_forms
from flows.parse.attributes import flatten, is_flat, within
from text import logfmt, times
from text.escapes import without_colours
from text.levels import BY_LETTER, Severity, of_syslog, spoken, valued
from text.zones import UTC


class LineFacts(msgspec.Struct, gc=False):
    """What a line says of itself.

    Attributes:
        time_ns: Unix nanoseconds, UTC, without bounds; None when it says no time.
        zone: As `text.times` gives it: "" when `time_ns` is UTC, None when the line names no zone, or a zone's name.
    """

    time_ns: int | None = None
    severity: Severity | None = None
    attributes: dict[str, Any] = {}  # msgspec gives each its own
    trace_id: str = ""
    span_id: str = ""
    zone: str | None = UTC


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """Most attributes taken from a line, and how deep objects are opened."""

    attributes: int
    depth: int


Form = Callable[[str, int, AttributeLimits], LineFacts | None]

_decode = msgspec.json.Decoder().decode
_TIMES = frozenset((str, int, float))
_HEX = frozenset("0123456789abcdefABCDEF")


def json_object(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """The whole line is a JSON object."""
    try:
        value = _decode(line)
        if type(value) is not dict:
            return None
        flat = line.find("{", 1) < 0 and "[" not in line and "null" not in line  # sure without a look at each value
        pairs = value if flat or is_flat(value) else flatten(value, limits.depth)
    except (ValueError, RecursionError):
        return None
    return _lifted(pairs, limits)


def logfmt_pairs(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """The whole line is `key=value` pairs."""
    pairs = None if text_forms.is_no_logfmt(line) else logfmt.parse(line)
    return None if pairs is None else _lifted(pairs, limits)


def access(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    found = access_log.parse(line, arrival_ns)
    return None if found is None else LineFacts(found[0], None, found[1], zone=found[2])


def _lifted(pairs: dict[str, Any], limits: AttributeLimits) -> LineFacts:
    """Take level, time and trace ids out of the attributes, where they can be read."""
    found = LineFacts()
    for key in [key for key in pairs if key in _LIFT]:  # where two say the time, the first one does
        if _LIFT[key](found, pairs[key]):
            del pairs[key]
    if not access_keys.MARKS.isdisjoint(pairs):
        pairs = access_keys.with_fields(pairs)
    found.attributes = within(pairs, limits.attributes)
    return found


def _take_level(found: LineFacts, value: object) -> bool:
    if found.severity is not None:
        return False
    found.severity = valued(value)
    return found.severity is not None


def _take_time(found: LineFacts, value: object) -> bool:
    if found.time_ns is not None or type(value) not in _TIMES:
        return False
    if type(value) is str and len(value) == 27:
        found.time_ns = times.micros(value, 0)
        if found.time_ns is not None:
            return True
    try:
        found.time_ns = timestamp_ns(value)  # type: ignore[arg-type]  # mypy does not read the line above
    except (ValueError, OverflowError):
        return False
    return True


def _take_trace(found: LineFacts, value: object) -> bool:
    trace = "" if found.trace_id else hex_id(value, 32)
    found.trace_id = found.trace_id or trace
    return bool(trace)


def _take_span(found: LineFacts, value: object) -> bool:
    span = "" if found.span_id else hex_id(value, 16)
    found.span_id = found.span_id or span
    return bool(span)


_LIFT: dict[str, Callable[[LineFacts, object], bool]] = {
    **dict.fromkeys(("level", "severity", "lvl", "severity_text", "loglevel", "log.level"), _take_level),
    **dict.fromkeys(("time", "timestamp", "ts", "@timestamp"), _take_time),
    **dict.fromkeys(("trace_id", "traceId", "trace.id"), _take_trace),
    **dict.fromkeys(("span_id", "spanId", "span.id"), _take_span),
}


def hex_id(value: object, digits: int) -> str:
    """A trace or span id in lower case, or ""."""
    if type(value) is str and len(value) == digits and _HEX.issuperset(value):
        return value.lower()
    return ""


def _said(read: request_lines.Reader) -> Form:
    """A form out of a reader that knows the whole line."""

    def form(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
        said = read(line, arrival_ns)
        return None if said is None else _facts(*said, limits)

    return form


def _facts(
    time: times.Time | None, severity: Severity | None, attributes: dict[str, Any], limits: AttributeLimits
) -> LineFacts:
    if attributes:
        flat = attributes if is_flat(attributes) else flatten(attributes, limits.depth)
        attributes = within(access_keys.with_fields(flat), limits.attributes)
    if time is None:
        return LineFacts(None, severity, attributes)
    return LineFacts(time[0], severity, attributes, zone=time[2])


def iso_line(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """A time by ISO 8601 at the start, then a level among the first words, or a request."""
    time = times.iso(line, 0, arrival_ns)
    if time is None:
        return None
    severity = spoken(line, time[1])
    if severity is None or line[-1] == "}":
        return _facts(*text_forms.after_time(line, time, severity), limits)
    return LineFacts(time[0], severity, zone=time[2])


def syslog_line(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`Jun 14 15:16:01 …`"""
    time = times.syslog(line, 0, arrival_ns)
    return None if time is None else LineFacts(time[0], text_forms.level_at(line, time[1]), zone=time[2])


def epoch_line(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """A number of seconds, milli-, micro- or nanoseconds at the start, then a level, or a request of Squid."""
    time = times.epoch(line, 0, arrival_ns)
    if time is None:
        return None
    severity = spoken(line, time[1])
    request = request_lines.after_epoch(line, time) if severity is None else None
    return LineFacts(time[0], severity, request or {}, zone=time[2])


def _timed(reader: times.Reader) -> Form:
    """A form: a time at the start, then a level among the first words."""

    def form(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
        time = reader(line, 0, arrival_ns)
        return None if time is None else LineFacts(time[0], spoken(line, time[1]), zone=time[2])

    return form


def android(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`03-17 16:13:38.811  1702  2395 D Tag: …`"""
    time = times.yearless(line, 0, arrival_ns)
    if time is None:
        return None
    words = line[time[1] : time[1] + 40].split(None, 3)
    letter = BY_LETTER.get(words[2]) if len(words) > 2 else None
    return LineFacts(time[0], letter or spoken(line, time[1]), zone=time[2])


def klog(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`E0102 15:04:05.678901 …`"""
    time = times.klog(line, 1, arrival_ns) if line[1:5].isdecimal() else None
    return None if time is None else LineFacts(time[0], BY_LETTER.get(line[0]), zone=time[2])


def bracketed(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`[Sun Dec 04 04:47:44 2005] [error] …`, `[2026-01-01 00:00:00] …`"""
    time = times.ctime(line, 1, arrival_ns) or times.iso(line, 1, arrival_ns) or times.common_log(line, 1, arrival_ns)
    if time is None:
        return None
    request = request_lines.bracketed(line, time)
    if request is not None:
        return LineFacts(time[0], None, request, zone=time[2])
    severity = spoken(line, time[1] + (line[time[1] : time[1] + 1] == "]"))
    if severity is None or line[-1] == "}":
        return _facts(*text_forms.after_time(line, time, severity), limits)
    return LineFacts(time[0], severity, zone=time[2])


def prioritised(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`<34>Oct 11 22:14:15 …`, `<34>1 2003-10-11T22:14:15Z …`: a syslog priority, then perhaps a time."""
    end = line.find(">", 2, 5)
    if end < 0 or not line[1:end].isdecimal() or int(line[1:end]) > 191:
        return None
    start = end + 3 if line[end + 1 : end + 3] == "1 " else end + 1
    time = times.syslog(line, start, arrival_ns) or times.iso(line, start, arrival_ns)
    severity = of_syslog(int(line[1:end]))
    return LineFacts(None, severity) if time is None else LineFacts(time[0], severity, zone=time[2])


def after_a_word(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """A time in second place: `INFO 2026-01-01 …`, `nova-api.log 2017-05-16 00:00:00.008 25746 INFO …`."""
    space = line.find(" ", 0, 256)
    time = times.iso(line, space + 1, arrival_ns) if space > 0 and line[4:5] != "[" else None
    if time is None:
        return None
    word = line[:space]
    if word in request_lines.LOAD_BALANCERS and (request := request_lines.of_balancer(line, time)) is not None:
        return LineFacts(time[0], None, request, zone=time[2])
    return LineFacts(time[0], spoken(word, 0) or text_forms.level_at(line, time[1]), zone=time[2])


def untimed(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts:
    return LineFacts(None, text_forms.untimed(line))


_DIGIT: tuple[Form, ...] = (
    iso_line, android, _timed(times.short_year), _timed(times.packed), access, epoch_line, after_a_word,
    _said(text_forms.in_digits),
)  # fmt: skip
_LETTER: tuple[Form, ...] = (logfmt_pairs, syslog_line, klog, after_a_word, access, _said(text_forms.in_words))
_FORMS: dict[str, tuple[Form, ...]] = {
    "{": (json_object,),
    "[": (bracketed, _said(text_forms.in_brackets)),
    "<": (prioritised,),
    **dict.fromkeys("0123456789", _DIGIT),
}


class Finder:
    """Reads the lines of one batch; remembers the form of the last one. Not thread-safe."""

    def __init__(self, limits: AttributeLimits) -> None:
        self._limits = limits
        self._last: dict[str, Form] = {}

    def find(self, line: str, arrival_ns: int) -> LineFacts:
        line = without_colours(line)
        first = line[:1]
        last = self._last.get(first)
        if last is not None:
            found = last(line, arrival_ns, self._limits)
            if found is not None:
                return found
        for form in _FORMS.get(first, _LETTER):
            found = form(line, arrival_ns, self._limits) if form is not last else None
            if found is not None:
                self._last[first] = form
                return found
        return untimed(line, arrival_ns, self._limits)
