"""Structured lines: JSON and logfmt -> level, time and trace ids by the keys of loggers; the rest are attributes.

A record that says no level, and holds the line of another program (`log` of docker, `MESSAGE` of the journal,
`message` of shippers), is an envelope of that line.
"""

from __future__ import annotations

from typing import Any

import msgspec

from flows.parse import access_keys, text_forms
from flows.parse.attributes import flatten, is_flat, within
from flows.parse.facts import AttributeLimits, LineFacts
from flows.parse.keys import USUAL, role_of
from text import dates, logfmt, partial_json

_decode = msgspec.json.Decoder().decode

_LINES = ("log", "MESSAGE")  # keys of whole lines of other programs
_MESSAGES = ("message", "msg", "short_message", "@message", "Message")
IOSTREAM = "log.iostream"
_STREAMS = ("stdout", "stderr")
_EVENT_FORMATS = ("CEF:", "LEEF")  # bars in front of the first pair, and blanks in values


def json_object(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """The line is a JSON object, or begins as one and is damaged."""
    try:
        value = _decode(line)
        if type(value) is not dict:
            return None
    except (ValueError, RecursionError):
        value = partial_json.parse(line, limits.depth)
        if value is None:
            return None
    flat = line.find("{", 1) < 0 and "[" not in line and "null" not in line  # sure without a look at each value
    try:
        pairs = value if flat or is_flat(value) else flatten(value, limits.depth)
    except (ValueError, RecursionError):
        return None
    return lifted(pairs, arrival_ns, limits)


def logfmt_pairs(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """The line is `key=value` pairs."""
    if line[4:5] == "[" or line[1:5].isdecimal():  # logrus on a terminal, klog
        return None
    if line[:3] in text_forms.NO_LOGFMT and text_forms.is_no_logfmt(line):
        return None
    if line[:4] in _EVENT_FORMATS:
        return None
    pairs = logfmt.parse(line)
    return None if pairs is None else lifted(pairs, arrival_ns, limits)


def lifted(pairs: dict[str, Any], arrival_ns: int, limits: AttributeLimits) -> LineFacts:
    """Take level, time and trace ids out of `pairs`, where they can be read; the others are attributes."""
    found = LineFacts()
    for key in [key for key in pairs if key in USUAL]:  # where two say the time, the first one does
        if USUAL[key](found, pairs[key], arrival_ns):
            del pairs[key]
    if found.severity is None or found.time_ns is None:
        envelope = found.severity is None
        _by_role(found, pairs, arrival_ns)
        if envelope:
            _open(found, pairs)
    if not access_keys.MARKS.isdisjoint(pairs):
        pairs = access_keys.with_fields(pairs)
    found.attributes = within(pairs, limits.attributes)
    return found


def _by_role(found: LineFacts, pairs: dict[str, Any], arrival_ns: int) -> None:
    """Ask the keys that are not usual, in the order of their rank."""
    roles = [(role, key) for key in pairs if (role := role_of(key)) is not None]
    for role, key in sorted(roles):
        timed = found.time_ns is not None
        if not role.take(found, pairs[key], arrival_ns):
            continue
        del pairs[key]
        if role.nanos and not timed:
            _add_nanos(found, pairs, role.nanos)
    if found.time_ns is None:
        _take_day_and_time(found, pairs, arrival_ns)
    if found.time_ns is None and "datetime.date" in pairs:
        _take_php_date(found, pairs, arrival_ns)


def _take_day_and_time(found: LineFacts, pairs: dict[str, Any], arrival_ns: int) -> None:
    """`date` and `time` in two keys."""
    keys = {key.lower(): key for key in pairs if len(key) == 4}
    day, time = (pairs.get(keys.get(name, "")) for name in ("date", "time"))
    if type(day) is not str or type(time) is not str:
        return
    moment = dates.whole(f"{day} {time}", arrival_ns)
    if moment is not None:
        found.time_ns, _, found.zone = moment
        del pairs[keys["date"]], pairs[keys["time"]]


def _take_php_date(found: LineFacts, pairs: dict[str, Any], arrival_ns: int) -> None:
    """A `DateTime` of PHP, as Monolog 1 writes `datetime`: a text and its zone (an offset, a short name, a region)."""
    date, zone = pairs["datetime.date"], pairs.get("datetime.timezone")
    if type(date) is not str or type(zone) is not str:
        return
    moment = dates.whole(f"{date} {zone}", arrival_ns)
    if moment is not None:
        found.time_ns, _, found.zone = moment
        for name in ("date", "timezone", "timezone_type"):
            pairs.pop(f"datetime.{name}", None)


def _add_nanos(found: LineFacts, pairs: dict[str, Any], name: str) -> None:
    for key, value in pairs.items():
        if key.lower() == name and type(value) is int and 0 <= value < 1_000_000_000 and found.time_ns is not None:
            found.time_ns += value
            del pairs[key]
            return


def _open(found: LineFacts, pairs: dict[str, Any]) -> None:
    """Make the record the envelope of the line in it."""
    for key in _LINES:
        if type(line := pairs.get(key)) is str and line.strip():
            found.inside, found.inside_key = line, key
            if pairs.get("stream") in _STREAMS:
                pairs[IOSTREAM] = pairs.pop("stream")
            return
    if found.severity is None:
        for key in _MESSAGES:
            if type(line := pairs.get(key)) is str and line.strip():
                found.inside, found.inside_key, found.is_message = line, key, True
                return
