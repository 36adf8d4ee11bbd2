"""Envelopes: what stands around the line of a program -> its facts, and where the inside begins.

Read are CRI, syslog (RFC 3164 and 5424, as files and as messages), compose and other names in front, and a time, a
level or a klog head in front of JSON, logfmt, klog or another time.
"""

# ruff: noqa: ARG001  every form takes the same arguments, and some need fewer

from __future__ import annotations

import re
from typing import Any

from flows.parse import access_keys, request_lines, text_forms
from flows.parse.attributes import flatten, is_flat, within
from flows.parse.facts import AttributeLimits, LineFacts
from flows.parse.request_lines import Said
from flows.parse.structured import IOSTREAM
from text import dates, levels, logfmt, times
from text.escapes import without_sequences
from text.levels import BY_LETTER, is_level, of_syslog, spoken
from text.times import MONTHS, Time

_BETWEEN = " \t-|:"  # between a time and what it stands before
_MOST_BETWEEN, _HEAD_CHARS, _HEAD_WORDS, _TAG_CHARS = 16, 64, 3, 450
_CLIENT_CHARS = 1024
_CRI = ("stdout ", "stderr ")
_CEE = "@cee:"
_NAME = re.compile(r"(?:[\d:.]{5,12} )?(?P<name>[\w./-]{1,64})[ \t]+\|(?: |$)")
_TAG = re.compile(r"(?:(?P<host>[\w.:-]{0,254}[\w.-]) )?(?P<app>[\w./@()-]{1,128})(?:\[(?P<pid>[^\]\s]{1,64})\])?: ?")
_FIELDS = re.compile(r" (?P<host>\S{1,255}) (?P<app>\S{1,48}) (?P<pid>\S{1,128}) (?P<id>\S{1,32}) ")
_DATA = re.compile(r'\[([^\s=\]"]{1,64})((?: [^\s=\]"]{1,64}="(?:[^"\\]|\\.)*+")*+)\]')
_DATUM = re.compile(r' ([^\s=\]"]{1,64})="((?:[^"\\]|\\.)*+)"')
_UNESCAPED = re.compile(r'\\(["\\\]])')


def timed(line: str, time: Time, limits: AttributeLimits) -> LineFacts:
    """The facts of a line that begins with a time (of which `time` is what its reader gave)."""
    end = time[1]
    severity = spoken(line, end)
    found = LineFacts(time[0], severity, zone=time[2])
    near = line[end + 1 : end + 4]
    capital = severity is not None and near != near.lower()
    if capital and line[-1] != "}" and line.find("{", end, end + _HEAD_CHARS) < 0:
        return found  # most lines: a level in capitals, and words
    found = opened(found, line, end)
    if line.find("client", end, end + _CLIENT_CHARS) > 0:
        found.attributes.update(request_lines.of_error(line, end))
    if found.inside or not (found.severity is None or line[-1] == "}"):
        return found
    return found_by(text_forms.after_time(line, time, found.severity), limits, found.attributes)


def found_by(said: Said, limits: AttributeLimits, others: dict[str, Any] | None = None) -> LineFacts:
    """The facts that a reader of text gives, with `others` of the attributes."""
    time, severity, attributes = said
    if attributes:
        flat = attributes if is_flat(attributes) else flatten(attributes, limits.depth)
        attributes = within({**(others or {}), **access_keys.with_fields(flat)}, limits.attributes)
    else:
        attributes = others or {}
    if time is None:
        return LineFacts(None, severity, attributes)
    return LineFacts(time[0], severity, attributes, zone=time[2])


def opened(found: LineFacts, line: str, end: int) -> LineFacts:
    """`found` with what stands in `line` from `end` on, when that is the line of another program."""
    start = _after_marks(line, end)
    first = line[start : start + 1]
    if first == "s" and line.startswith(_CRI, start):
        return _cri(found, line, start)
    if (
        _is_structured(line, start, first)
        or (line[end - 1 : start] == "Z " and line[end - 11 : end - 10] == ".")  # `kubectl logs --timestamps`
        or (found.severity is None and text_forms.begins(line, start))
    ):
        found.inside, found.is_message = line[start:], True
        return found
    head = _TAG.match(line, start) if first.isalnum() and _may_be_tagged(line, start) else None
    if head is not None and (
        head["pid"] or (head["host"] and (head["app"] == "kernel" or line[head.end() : head.end() + 1] in ("{", "@")))
    ):
        _take_tag(found, line, head)
    else:
        _headed(found, line, start)
    return found


def _may_be_tagged(line: str, start: int) -> bool:
    """Whether at most one blank stands before a colon: only then `_TAG`, which costs more, may match."""
    colon = line.find(": ", start, start + _TAG_CHARS)
    if colon < 0:
        colon = line.find("]:", start, start + _TAG_CHARS)
    return colon > 0 and line.count(" ", start, colon) <= 1


def _after_marks(line: str, start: int) -> int:
    limit = min(start + _MOST_BETWEEN, len(line))
    while start < limit and line[start] in _BETWEEN:
        start += 1
    return start


def _cri(found: LineFacts, line: str, start: int) -> LineFacts:
    """`stdout F <line>`, of the container runtime interface of Kubernetes."""
    found.attributes[IOSTREAM] = line[start : start + 6]
    tag, _, inside = line[start + 7 :].partition(" ")
    found.severity, found.inside = None, inside if tag[:1] in ("F", "P") else line[start + 7 :]
    return found


def _is_structured(line: str, start: int, first: str) -> bool:
    """Whether JSON, logfmt, klog, a time, or a name in front of one begins at `start`."""
    if first == "[" and not line[start + 1 : start + 3].isdecimal():
        close = line.find("] ", start, start + 200)
        return close > 0 and line[close + 2 : close + 3] != "[" and _begins(line, close + 2)
    if _begins(line, start):
        return True
    name = _NAME.match(line, start) if line.find("|", start, start + 140) > 0 else None
    return name is not None and not is_level(name["name"])


def _begins(line: str, start: int) -> bool:
    """Whether JSON, logfmt, klog, or a time begins at `start`."""
    first = line[start : start + 1]
    if first == "{" or first == "@":
        return first == "{" or line.startswith(_CEE, start)
    if first.isdecimal():
        return _is_time(line, start)
    if first in ("[", "<"):
        return line[start + 1 : start + 3].isdecimal() and (first == "<" or line[start + 5 : start + 6] in "-/")
    if first in BY_LETTER and line[start + 1 : start + 5].isdecimal() and line[start + 5 : start + 6] == " ":
        return True
    if line[start : start + 3] in MONTHS and line[start + 3 : start + 4] == " ":
        return line[start + 9 : start + 10] == ":"
    equals = line.find("=", start + 1, start + _HEAD_CHARS)
    return equals > 0 and line[start:equals].replace(".", "_").replace("-", "_").isidentifier()


def _is_time(line: str, start: int) -> bool:
    """Whether a date, an access log, or an epoch number begins at `start`."""
    if line[start + 4 : start + 5] in ("-", "/") and line[start : start + 4].isdecimal():
        return True
    bracket = line.find(" [", start, start + 128)  # of an access log, or of HAProxy
    return bracket > 0 and (line[bracket + 4 : bracket + 5] == "/" or line[bracket + 6 : bracket + 7] == "-")


def _headed(found: LineFacts, line: str, start: int) -> bool:
    """A level, or a few words and a colon, in front of JSON: `ERROR {…}`, `[info]: {…}`, `INFO main.go:12: {…}`."""
    brace = line.find("{", start, start + _HEAD_CHARS)
    if brace <= start or line[brace + 1 : brace + 2] not in ('"', "'", " "):
        return False
    head = line[start:brace].rstrip()
    if not is_level(head.strip(" \t-|:[]()<>")) and not (head[-1:] == ":" and len(head.split()) <= _HEAD_WORDS):
        return False
    found.severity = found.severity or spoken(line, start)
    found.inside = line[brace:]
    return True


def _take_tag(found: LineFacts, line: str, head: re.Match[str]) -> None:
    """`host app[7]: text`: attributes by the names of OpenTelemetry, and the level of the text."""
    host, app, pid = head["host"], head["app"], head["pid"]
    if is_level(host or app):
        return
    if pid and len(pid) > 2 and pid.isupper() and is_level(pid):  # `util.py[WARNING]: text`
        found.severity = levels.named(pid)
        return
    for key, value in (("host.name", host), ("syslog.appname", app)):
        if value:
            found.attributes[key] = value
    if pid:
        _take_pid(found.attributes, pid)
    _take_text(found, line, head.end())


def _take_pid(attributes: dict[str, Any], pid: str) -> None:
    if pid.isdecimal() and pid.isascii() and len(pid) < 12:
        attributes["process.pid"] = int(pid)
    else:
        attributes["syslog.procid"] = pid


def _take_text(found: LineFacts, line: str, start: int) -> None:
    """The text of a syslog line: the line of a program, in any form."""
    if line.startswith(_CEE, start):
        start += len(_CEE)
    found.inside, found.is_message = line[_after_marks(line, start) :], True


def _without_octal(line: str) -> str:
    """Without colours as rsyslog spells them: `#033[31m`."""
    return without_sequences(line) if "#033[" in line else line


def syslog(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`Oct 11 22:14:15 host su[7]: text`, as a file of syslog has it."""
    line = _without_octal(line)
    time = times.syslog(line, 0, arrival_ns)
    if time is None:
        return None
    return _after_time(LineFacts(time[0], zone=time[2]), line, time[1])


def _after_time(found: LineFacts, line: str, end: int) -> LineFacts:
    head = _TAG.match(line, end + 1) if line[end : end + 1] in (" ", ":") else None
    if head is not None and not is_level(head["host"] or ""):
        _take_tag(found, line, head)
        return found
    severity = found.severity = text_forms.level_at(line, end) or found.severity
    opened(found, line, end)
    found.severity = found.severity or severity
    return found


def prioritised(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`<34>Oct 11 22:14:15 …`, `<34>1 2003-10-11T22:14:15Z …`: a syslog priority, then perhaps a time."""
    end = line.find(">", 2, 5)
    if end < 0 or not line[1:end].isdecimal() or int(line[1:end]) > 191:
        return None
    found, line = LineFacts(None, of_syslog(int(line[1:end]))), _without_octal(line)
    start = end + 3 if line[end + 1 : end + 3] == "1 " else end + 1
    time = times.syslog(line, start, arrival_ns) or times.iso(line, start, arrival_ns)
    time = time or dates.of_letter(line, start, arrival_ns)
    if time is None and (said := text_forms.cisco(line[start : start + 256], arrival_ns)) is not None and said[0]:
        return LineFacts(said[0][0], said[1] or found.severity, zone=said[0][2])
    if time is not None:
        found.time_ns, found.zone = time[0], time[2]
        start = time[1]
    elif line[start : start + 2] == "- ":
        start += 1
    if line[end + 1 : end + 3] == "1 " and (fields := _FIELDS.match(line, start)) is not None:
        return _of_5424(found, line, fields, limits)
    if time is None:
        head = _TAG.match(line, start)
        if head is not None:
            _take_tag(found, line, head)
        else:
            _take_text(found, line, start)
        return found
    return _after_time(found, line, start)


def _of_5424(found: LineFacts, line: str, fields: re.Match[str], limits: AttributeLimits) -> LineFacts:
    for key, name in (("host.name", "host"), ("syslog.appname", "app"), ("syslog.msgid", "id")):
        if fields[name] != "-":
            found.attributes[key] = fields[name]
    if fields["pid"] != "-":
        _take_pid(found.attributes, fields["pid"])
    start = fields.end()
    if line[start : start + 1] == "-":
        start += 1
    else:
        while (data := _DATA.match(line, start)) is not None:
            for key, value in _DATUM.findall(data[2]):
                found.attributes[f"{data[1]}.{key}"] = _UNESCAPED.sub(r"\1", value)
            start = data.end()
        found.attributes = within(found.attributes, limits.attributes)
    while line[start : start + 1] in (" ", "\ufeff"):
        start += 1
    _take_text(found, line, start)
    return found


def named(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`web-1  | text`, as compose writes it."""
    if line.find("|", 0, 140) < 0:
        return None
    head = _NAME.match(line)
    if head is None or not line[head.end() :].strip() or is_level(head[0][:-2].strip()):
        return None
    return LineFacts(attributes={"container.name": head["name"]}, inside=line[head.end() :])


def tagged(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`[pod/web-1/app] text`: something in brackets in front of JSON, logfmt, klog or a time."""
    close = line.find("] ", 1, 200)
    start = _after_marks(line, close + 2) if close > 0 else 0
    if start == 0:
        return None
    names = line[1:close].split("/")
    if len(names) == 3 and names[0] == "pod":  # as `kubectl logs --prefix` writes
        return LineFacts(
            attributes={"k8s.pod.name": names[1], "k8s.container.name": names[2]}, inside=line[start:], is_message=True
        )
    if not _is_structured(line, start, line[start : start + 1]):
        return None
    return LineFacts(None, spoken(line[: close + 1], 0), inside=line[start:])


def cee(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`@cee: {…}`"""
    return LineFacts(inside=line[len(_CEE) :]) if line.startswith(_CEE) else None


def klog(line: str, arrival_ns: int, limits: AttributeLimits) -> LineFacts | None:
    """`E0102 15:04:05.678901   1 main.go:7] text`, and `… main.go:7] "text" key="value"`"""
    time = times.klog(line, 1, arrival_ns) if line[1:5].isdecimal() else None
    if time is None:
        return None
    found = LineFacts(time[0], BY_LETTER.get(line[0]), zone=time[2])
    close = line.find("] ", time[1], time[1] + 128)
    start = _after_marks(line, close + 2) if close > 0 else 0
    if start and _is_structured(line, start, line[start : start + 1]):
        found.inside = line[start:]
    elif start and line[start : start + 1] == '"':  # `"Starting" pod="shop/web" …`
        end = line.find('" ', start + 1)
        found.attributes = within(logfmt.parse(line[end + 2 :], 1) or {}, limits.attributes) if end > 0 else {}
    return found
