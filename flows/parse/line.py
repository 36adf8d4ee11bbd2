"""Text: one log line -> time, severity and attributes that stand in it. The line itself stays as it is.

A *form* is one way in which lines are written. Which forms are tried follows from the first character; lines of one
batch are mostly of one form, so the caller tries the last one first (`Finder`). A line may be an envelope of another
one, to a bounded depth: level, attributes and time are those of the inside, else those of the envelope.
"""

# ruff: noqa: ARG001  every form takes the same arguments, and some need fewer

from __future__ import annotations

from flows.parse import access_log, request_lines, text_forms
from flows.parse.attributes import within
from flows.parse.envelopes import cee, found_by, klog, named, opened, prioritised, syslog, tagged, timed
from flows.parse.facts import AttributeLimits, Form, LineFacts
from flows.parse.structured import json_object, logfmt_pairs
from text import times, zones
from text.escapes import without_sequences
from text.levels import BY_LETTER, spoken
from text.zones import UTC

__all__ = ["AttributeLimits", "Finder", "LineFacts"]

DEEPEST = 6  # envelopes around a line
_BLANK = " \t\ufeff\x00\r\n\u200b\xa0"


def access(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    found = access_log.parse(line, arrival_ns)
    return None if found is None else LineFacts(found[0], None, found[1], zone=found[2])


def iso(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """As `_timed(times.iso)`; quicker for most lines: microseconds, a level in capitals, words."""
    time_ns = times.micros(line, 0)
    if time_ns is None:
        time = times.iso(line, 0, arrival_ns)
        return None if time is None else timed(line, time, limits)
    severity = spoken(line, 27)
    if severity is not None and "{" not in line and "A" <= line[28:29] <= "Z":
        return LineFacts(time_ns, severity)
    return timed(line, (time_ns, 27, UTC), limits)


def blank(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts:
    """White space, or the mark of an encoding, in front."""
    return LineFacts(inside=line.lstrip(_BLANK))


def _timed(reader: times.Reader) -> Form:
    """A form: a time at the start, then a level among the first words, or the line of another program."""

    def form(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
        time = reader(line, 0, arrival_ns)
        return None if time is None else timed(line, time, limits)

    return form


def _said(read: request_lines.Reader) -> Form:
    """A form out of a reader that knows the whole line."""

    def form(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
        said = read(line, arrival_ns)
        return None if said is None else found_by(said, limits)

    return form


def android(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`03-17 16:13:38.811  1702  2395 D Tag: …`"""
    time = times.yearless(line, 0, arrival_ns)
    if time is None:
        return None
    words = line[time[1] : time[1] + 40].split(None, 3)
    letter = BY_LETTER.get(words[2]) if len(words) > 2 else None
    if letter is None and words and words[0][1:2] == "/":
        letter = BY_LETTER.get(words[0][0])  # `E/Tag( 77): …`
    return LineFacts(time[0], letter or spoken(line, time[1]), zone=time[2])


def bracketed(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`[Sun Dec 04 04:47:44 2005] [error] …`, `[2026-01-01 00:00:00] …`"""
    time = times.ctime(line, 1, arrival_ns) or times.iso(line, 1, arrival_ns) or times.common_log(line, 1, arrival_ns)
    if time is None:
        return None
    time_ns, end, zone = time
    if line[end : end + 1] == "]":
        request = request_lines.bracketed(line, time)
        if request is not None:
            return LineFacts(time_ns, None, request, zone=zone)
        end += 1
    return timed(line, (time_ns, end, zone), limits)


def other_brackets(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """A bracket in front of the line of another program, or a date that is not ISO's in brackets."""
    if times.iso(line, 1, arrival_ns) or times.ctime(line, 1, arrival_ns) or times.common_log(line, 1, arrival_ns):
        return None
    known = _tagged(line, arrival_ns, limits) or tagged(line, arrival_ns, limits)
    return known or _in_brackets(line, arrival_ns, limits)


def after_a_word(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """A time in second place: `INFO 2026-01-01 …`, `nova-api.log 2017-05-16 00:00:00.008 25746 INFO …`."""
    space = line.find(" ", 0, 256)
    time = times.iso(line, space + 1, arrival_ns) if space > 0 and line[4:5] != "[" else None
    if time is None:
        return None
    word = line[:space]
    if word in request_lines.LOAD_BALANCERS and (request := request_lines.of_balancer(line, time)) is not None:
        return LineFacts(time[0], None, request, zone=time[2])
    found = timed(line, time, limits)
    found.severity = spoken(word, 0) or found.severity
    return found


def untimed(line: str) -> LineFacts:
    found = LineFacts(None, text_forms.untimed(line))
    return opened(found, line, 0) if line.find("{", 0, 64) >= 0 else found


_tagged, _in_brackets = _said(text_forms.tagged), _said(text_forms.in_brackets)
_in_words = _said(text_forms.in_words)
_DIGIT: tuple[Form, ...] = (
    iso, android, _timed(times.short_year), _timed(times.packed), access, _timed(times.epoch), after_a_word, named,
    _said(text_forms.in_digits),
)  # fmt: skip
_LETTER: tuple[Form, ...] = (named, logfmt_pairs, syslog, klog, after_a_word, access, _in_words)
_FORMS: dict[str, tuple[Form, ...]] = {
    "{": (json_object, _in_words),
    "[": (bracketed, other_brackets),
    "@": (cee, logfmt_pairs),
    "<": (prioritised, _in_words),
    **dict.fromkeys("0123456789", _DIGIT),
    **dict.fromkeys(_BLANK, (blank,)),
}


class Finder:
    """Reads the lines of one batch; remembers the form of the last one. Not thread-safe."""

    def __init__(self, limits: AttributeLimits) -> None:
        self._limits = limits
        self._last: dict[str, Form] = {}
        self._depth = 0

    def find(self, line: str, arrival_ns: int) -> LineFacts:
        """What `line` says; of a text without a time `time_ns` is None."""
        if "\x1b" in line or "\\" in line:
            line = without_sequences(line)
        last = self._last.get(line[:1])
        found = None if last is None else last(line, arrival_ns, self._limits)
        if found is None:
            found = self._other(line, arrival_ns, last)
        return self._with_inside(found, arrival_ns) if found.inside else found

    def _other(self, line: str, arrival_ns: int, last: Form | None) -> LineFacts:
        """What a line says that is not of the `last` form."""
        for form in _FORMS.get(line[:1], _LETTER):
            found = form(line, arrival_ns, self._limits) if form is not last else None
            if found is not None:
                self._last[line[:1]] = form
                return found
        return untimed(line)

    def _with_inside(self, envelope: LineFacts, arrival_ns: int) -> LineFacts:
        if self._depth >= DEEPEST:
            return envelope
        self._depth += 1
        text = envelope.inside.strip()
        inner = self.find(text, arrival_ns)
        self._depth -= 1
        if envelope.is_message and not inner.attributes and inner.time_ns is None:
            word = text[:16].partition(" ")[0]
            if word.isalpha() and word.islower():  # of a sentence, and no level
                inner.severity = spoken(f"- {text[:120]}", 0)
        return _merged(envelope, inner, self._limits)


def _merged(envelope: LineFacts, inner: LineFacts, limits: AttributeLimits) -> LineFacts:
    if inner.attributes:
        envelope.attributes.pop(envelope.inside_key, None)
        envelope.attributes.update(inner.attributes)
        envelope.attributes = within(envelope.attributes, limits.attributes)
    envelope.severity = inner.severity or envelope.severity
    envelope.trace_id = inner.trace_id or envelope.trace_id
    envelope.span_id = inner.span_id or envelope.span_id
    if inner.time_ns is not None:
        envelope.time_ns, envelope.zone = _inner_time(envelope, inner.time_ns, inner.zone)
    return envelope


def _inner_time(envelope: LineFacts, inner_ns: int, zone: str | None) -> tuple[int, str | None]:
    """The time of the inside. One without a zone is in the zone that brings it to that of the envelope."""
    outer_ns = envelope.time_ns
    if zone == UTC or outer_ns is None or envelope.zone != UTC:
        return inner_ns, zone
    if zone is not None and (known := zones.to_utc(inner_ns, zone, outer_ns)) is not None:
        return known, UTC
    quarters = zones.nearest(inner_ns, outer_ns)
    return (outer_ns if quarters is None else inner_ns - quarters * zones.QUARTER_NS), UTC
