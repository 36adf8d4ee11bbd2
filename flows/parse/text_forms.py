"""Text of well-known programs -> time, level and, where the text is structured, attributes.

A reader takes (line, arrival_ns) and gives what the line says, or None where the line is of another form. They are
tried after the forms of `flows.parse.line`, which are faster; no line is of a form of both.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from flows.parse import access_log, request_lines
from flows.parse.request_lines import Said
from text import dates, logfmt, marks, times
from text.levels import BY_LETTER, Severity, named, spoken

_REDIS = {".": (5, "DEBUG"), "-": (6, "DEBUG"), "*": (10, "INFO"), "#": (13, "WARN")}
_PAIR = re.compile(r'(?<!\S)([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|\S*)', re.ASCII)
_OBJECT_CHARS = 65_536
# How a line with a date that is not ISO's, of Redis, of Cisco or of Zabbix begins.
_LIKELY = re.compile(
    r"\d{1,2}(?:[-/ ](?:\d{1,2}[-/]\d|[A-Z][a-z]{2})|\.\d{1,2}\.\d{4})|\d{4}(?:[-.]\d\d|[ -][A-Z])"
    r"|\d{6} {1,2}\d{1,2}:|\d{8}[T :_-]?\d|\d{1,10}:(?:[MSCX] | |\d{8}:)",
    re.ASCII,
)
_INSIDE = re.compile(
    r"\[?\d{1,2}[-/ ][A-Z][a-z]{2}[-/ ]\d{4}|\d{1,10}:[MSCX] \d|[A-Z]{4}\[\d|type=[A-Z_]+ msg=audit\(", re.ASCII
)
_INSIDES = frozenset("0123456789[TDIWEFPt")
_DATES = frozenset((*times.MONTHS, "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
NO_LOGFMT = _DATES | {"typ", "nod"}
_decode = msgspec.json.Decoder().decode


def level_at(line: str, start: int) -> Severity | None:
    """The level among the first words behind a time, or a mark of one."""
    return spoken(line, start) or marks.beyond(line, start)


def _level_behind(line: str, end: int) -> Severity | None:
    """The same behind the bracket around a time, and PHP's words."""
    start = end + (line[end : end + 1] == "]")
    return marks.php(line, start + 5) if line[start : start + 5] == " PHP " else level_at(line, start)


def in_digits(line: str, arrival_ns: int) -> Said | None:
    """What begins with a digit, and with no time of `text.times`."""
    if line[8:11] == " | ":
        return request_lines.fiber(line, arrival_ns)
    if _LIKELY.match(line) is None:
        return None
    return (
        request_lines.cloudfront(line, arrival_ns)
        or redis(line, arrival_ns)
        or cisco(line, arrival_ns)
        or zabbix(line, arrival_ns)
        or dated(line, arrival_ns)
    )


def tagged(line: str, arrival_ns: int) -> Said | None:
    """Programs whose name, or what else they are known by, stands in brackets in front of the time."""
    head = line[:6]
    if head == "[GIN] ":
        return request_lines.gin(line, arrival_ns)
    if head == "[pid: ":
        return request_lines.uwsgi(line, arrival_ns)
    return nest(line, arrival_ns) if head == "[Nest]" else None


def in_brackets(line: str, arrival_ns: int) -> Said | None:
    """What begins with a bracket, and with no time of `text.times` in it."""
    return bracketed_date(line, arrival_ns) or redis(line, arrival_ns) or bracket_then_time(line, arrival_ns)


def in_words(line: str, arrival_ns: int) -> Said | None:
    """What begins with anything else: the first characters say which readers may know it."""
    for read in _BY_HEAD.get(line[:3]) or _BY_FIRST.get(line[:1], ()):
        said = read(line, arrival_ns)
        if said is not None:
            return said
    return None


def begins(line: str, start: int) -> bool:
    """Whether a line of Redis, Tomcat, PHP, logrus or audit begins at `start`, behind the time of an envelope."""
    return line[start : start + 1] in _INSIDES and _INSIDE.match(line, start) is not None


def is_no_logfmt(line: str) -> bool:
    """Whether pairs in a line that begins by `NO_LOGFMT` stand behind something else: a date by names, audit."""
    return line[:3] in _DATES or " msg=audit(" in line[:320]


def dated(line: str, arrival_ns: int) -> Said | None:
    """A date that is not ISO's at the start: see `text.dates`."""
    time = dates.of_any(line, 0, arrival_ns)
    if time is None and line[10:12] == ": ":
        time = times.epoch(line[:10], 0, arrival_ns)
    return None if time is None else (time, level_at(line, time[1]), {})


def bracketed_date(line: str, arrival_ns: int) -> Said | None:
    """`[30-Nov-2026 19:40:07 UTC] PHP Fatal error:  …`, `[1796067607] …`, `[Nov 30 19:40:07] WARNING[77]: …`"""
    time = dates.of_any(line, 1, arrival_ns) or times.syslog(line, 1, arrival_ns) or _bracketed_epoch(line, arrival_ns)
    return None if time is None else (time, _level_behind(line, time[1]), {})


def _bracketed_epoch(line: str, arrival_ns: int) -> times.Time | None:
    close = line.find("]", 9, 34)
    time = times.epoch(line[1:close], 0, arrival_ns) if close > 0 else None
    return None if time is None or time[1] != close - 1 else (time[0], close, time[2])


def bracket_then_time(line: str, arrival_ns: int) -> Said | None:
    """A bracket, then the time: `[ERROR] 2026-…`, `[error][2026-…]`, `[E 2026-… web:1]`"""
    close = line.find("]", 1, 40)
    space = line.find(" ", 1, 4)
    letter = BY_LETTER.get(line[1:space]) if space > 0 else None
    if letter is not None and (time := _time_at(line, space + 1, arrival_ns)) is not None:
        return time, letter, {}
    if close < 0:
        return None
    start = close + 1
    while line[start : start + 1] in (" ", "[", "\t") and start < close + 4:
        start += 1
    time = _time_at(line, start, arrival_ns)
    if time is None:
        return None
    return (
        time,
        spoken(line[: close + 1], 0) or marks.at_the_start(line[: close + 1]) or _level_behind(line, time[1]),
        {},
    )


def nest(line: str, arrival_ns: int) -> Said | None:
    """`[Nest] 12  - 11/30/2026, 07:40:07 PM     ERROR [App] boom`"""
    start = line.find("- ", 6, 24) + 2
    time = _time_at(line, start, arrival_ns) if start > 2 else None
    return None if time is None else (time, level_at(line, time[1]), {})


def _time_at(line: str, start: int, arrival_ns: int) -> times.Time | None:
    found = times.iso(line, start, arrival_ns) or dates.of_any(line, start, arrival_ns)
    if found is None and line[start : start + 10].isdecimal():
        end = line.find("]", start + 10, start + 24)
        found = times.epoch(line[:end], start, arrival_ns) if end > 0 else times.epoch(line, start, arrival_ns)
    return found


def redis(line: str, arrival_ns: int) -> Said | None:
    """`1:M 30 Nov 2026 19:40:07.123 # …`: process, role, time, a sign for the level; `[1] 30 Nov 19:40:07.123 # …`."""
    space = line.find(" ", 2, 16)
    head = line[: max(space, 0)]
    of_role = head[-2:-1] == ":" and head[-1:] in "MSCX" and head[:-2].isdecimal()
    if not of_role and not (head[:1] == "[" and head[-1:] == "]" and head[1:-1].isdecimal()):
        return None
    time = dates.of_digit(line, space + 1, arrival_ns)
    if time is None:
        return None
    level = _REDIS.get(line[time[1] + 1 : time[1] + 2]) if line[time[1] + 2 : time[1] + 3] == " " else None
    return time, level or level_at(line, time[1]), {}


def rails(line: str, arrival_ns: int) -> Said | None:
    """`E, [2026-11-30T19:40:07.123456 #77] ERROR -- : …`; `E [30/Nov/2026:19:40:07 +0000] …`, as CUPS writes it."""
    if line[1:3] == " [":
        time = times.common_log(line, 3, arrival_ns)
    else:
        time = times.iso(line, 4, arrival_ns) if line[1:4] == ", [" else None
    return None if time is None else (time, BY_LETTER[line[0]], {})


def glog(line: str, arrival_ns: int) -> Said | None:
    """`E261130 19:40:07.123456 1 main.go:1 …`, `E20261130 19:40:07.123456 77 main.cc:1] …`: with a year."""
    level = BY_LETTER.get(line[:1]) if line[1:7].isdecimal() else None
    time = None if level is None else dates.of_digit(line, 1, arrival_ns)
    return None if time is None else (time, level, {})


def wrapped(line: str, arrival_ns: int) -> Said | None:
    """`"2026-11-30 19:40:07","ERROR",…`, `<2026-11-30 19:40:07> <ERROR> …`, `(2026-…) …`, `|2026-…|ERROR|…`"""
    time = times.iso(line, 1, arrival_ns)
    if time is None:
        return None
    return time, level_at(line, time[1] + (line[time[1] : time[1] + 1] in ('"', ">", ")", "}"))), {}


def android_brief(line: str, arrival_ns: int) -> Said | None:  # noqa: ARG001  as every reader
    """`E/AndroidRuntime(   77): …`"""
    known = line[1:2] == "/" and 0 < line.find("(", 2, 64) < line.find("): ", 3, 80)
    return (None, BY_LETTER.get(line[0]), {}) if known else None


def python_basic(line: str, arrival_ns: int) -> Said | None:
    """`INFO:werkzeug:10.0.0.1 - - [30/Nov/2026 19:40:07] "GET / HTTP/1.1" 200 -`: a level, a name, an access log."""
    name, colon, rest = line.partition(":")
    rest = rest.partition(":")[2] if colon and name.isupper() else ""
    access = access_log.parse(rest, arrival_ns) if rest else None
    return None if access is None else ((access[0], 0, access[2]), spoken(line, 0), access[1])


def level_first(line: str, arrival_ns: int) -> Said | None:
    """`ERROR [main] 2026-11-30 19:40:07,123 …` as Cassandra writes it, `INFO 11-30 19:40:07 …` without year."""
    space = line.find(" ", 1, 12)
    level = spoken(line[: max(space, 0)], 0)
    if level is None:
        return None
    start = space + 1
    while line[start : start + 1] == " " and start < space + 6:
        start += 1
    if line[start : start + 1] == "[":
        start = line.find("] ", start, start + 128) + 2
    time = times.iso(line, start, arrival_ns) or times.yearless(line, start, arrival_ns)
    time = time or dates.of_any(line, start, arrival_ns)
    return None if time is None else (time, level, {})


def audit(line: str, arrival_ns: int) -> Said | None:
    """`type=SYSCALL msg=audit(1796067607.123:42): arch=c000003e key="x"`, perhaps after `node=host`."""
    start = line.find("msg=audit(", 0, 320)
    end = line.find("):", start, start + 48)
    if start < 0 or end < 0 or not line.startswith(("type=", "node=")):
        return None
    stamp, _, number = line[start + 10 : end].partition(":")
    time = times.epoch(stamp, 0, arrival_ns)
    if time is None:
        return None
    attributes = pairs(line[:start]) | pairs(line[end + 2 :].replace("msg='", " ").replace("'", " "))
    if number.isdecimal() and len(number) < 19:
        attributes["audit.id"] = int(number)
    return (time[0], end, time[2]), None, attributes


def pairs(text: str) -> dict[str, Any]:
    """The `key=value` words of a text; the others say nothing."""
    return {
        found[1]: found[2][1:-1] if found[2][:1] == '"' and len(found[2]) > 1 else logfmt.number(found[2])
        for found in _PAIR.finditer(text, 0, _OBJECT_CHARS)
    }


def logrus(line: str, arrival_ns: int) -> Said | None:
    """`ERRO[0001] a message         key=value`: with seconds since the start, which are no time, or with the time."""
    level = marks.of_logrus(line)
    if level is None:
        return None
    close = line.find("]", 5, 48)
    time = times.iso(line, 5, arrival_ns)
    if time is None and not line[5 : max(close, 5)].isdecimal():
        return None
    return time, level, pairs(line[close + 1 :])


def cisco(line: str, arrival_ns: int) -> Said | None:
    """`*Nov 30 19:40:07.123: %LINK-3-UPDOWN: …`, `000042: Nov 30 2026 19:40:07 UTC: %SYS-5-CONFIG_I: …`"""
    start, colon = 0, line.find(": ", 0, 24)
    if colon > 0 and line[:colon].isdecimal():
        start = colon + 2
        colon = line.find(": ", start, start + 64)
        if colon > 0 and " " not in line[start:colon] and line[start : start + 1] not in ("*", "."):
            start = colon + 2  # the name of the router
    if line[start : start + 1] in ("*", "."):
        start += 1
    time = dates.of_any(line, start, arrival_ns) or times.syslog(line, start, arrival_ns)
    if time is None or (start == 0 and "%" not in line[time[1] : time[1] + 64]):
        return None
    return time, marks.beyond(line, time[1]) or spoken(line, time[1]), {}


def slow_query(line: str, arrival_ns: int) -> Said | None:
    """`# Time: 2026-11-30T19:40:07.123456Z`, as MySQL's log of slow queries begins a record."""
    if line[:8] != "# Time: ":
        return None
    time = times.iso(line, 8, arrival_ns) or dates.of_digit(line, 8, arrival_ns)
    return None if time is None else (time, None, {})


def erlang(line: str, arrival_ns: int) -> Said | None:
    """`=ERROR REPORT==== 30-Nov-2026::19:40:07.123 ===`, `=INFO REPORT==== …`"""
    space = line.find(" REPORT==== ", 1, 24)
    time = dates.of_digit(line, space + 12, arrival_ns) if space > 0 and line[0] == "=" else None
    if time is None:
        return None
    level = named(line[1:space].replace("CRASH", "ERROR").replace("SUPERVISOR", "ERROR").replace("PROGRESS", "INFO"))
    return time, level if level[0] else None, {}


def weblogic(line: str, arrival_ns: int) -> Said | None:
    """`####<Nov 30, 2026 7:40:07,123 PM UTC> <Error> <…>`"""
    time = dates.of_letter(line, 5, arrival_ns) if line[:5] == "####<" else None
    return None if time is None else (time, level_at(line, time[1] + 1), {})


def zabbix(line: str, arrival_ns: int) -> Said | None:
    """`  1234:20261130:194007.123 …`: process, then the time."""
    colon = line.find(":", 1, 12)
    time = dates.of_digit(line, colon + 1, arrival_ns) if colon > 0 and line[:colon].strip().isdecimal() else None
    return None if time is None else (time, level_at(line, time[1]), {})


def after_time(line: str, time: times.Time, severity: Severity | None) -> Said:
    """A time of `text.times` at the start, and no level behind it as a word, or an object at the end of the line."""
    if severity is None and (request := request_lines.after_time(line, time)) is not None:
        return request[0], None, request[1]
    attributes = trailing_object(line, time[1]) if line[-2:].rstrip()[-1:] in ("}", "]") else {}
    if severity is None:
        severity = marks.beyond(line, time[1] + (line[time[1] : time[1] + 1] == "]"))
    return time, severity, attributes


def untimed(line: str) -> Severity | None:
    """The level of a line that says no time."""
    return (marks.php(line, 4) if line[:4] == "PHP " else None) or spoken(line, 0) or marks.at_the_start(line)


def trailing_object(line: str, start: int) -> dict[str, Any]:
    """The JSON object that ends a line of zap or Monolog (`… {"k": 1}`, `… {"k": 1} []`), not opened."""
    text = line.rstrip() if len(line) < _OBJECT_CHARS else ""
    while text.endswith(" []"):
        text = text[:-3]
    if not text.endswith("}"):
        return {}
    begin = min((at for mark in (' {"', '\t{"') if (at := text.find(mark, start)) > 0), default=-1)
    return {} if begin < 0 else _objects(text[begin + 1 :])


def _objects(text: str) -> dict[str, Any]:
    try:
        value = _decode(text)
    except (ValueError, RecursionError):
        first, gap, second = text.partition("} {")
        return _objects(first + "}") | _objects("{" + second) if gap and "} {" not in second else {}
    return value if type(value) is dict else {}


_LEVELS = ("TRA", "DEB", "INF", "NOT", "WAR", "ERR", "CRI", "SEV", "FAT", "PAN", "ALE", "EME")
_REQUESTS = ("GET", "POS", "PUT", "DEL", "PAT", "HEA", "OPT")
_BY_HEAD: dict[str, tuple[request_lines.Reader, ...]] = {
    **dict.fromkeys(_LEVELS, (logrus, level_first, python_basic, request_lines.console)),
    **dict.fromkeys(_REQUESTS, (request_lines.console,)),
    **dict.fromkeys(NO_LOGFMT, (audit,)),
    **dict.fromkeys(_DATES, (dated,)),
    "###": (weblogic,),
    "Sta": (request_lines.rails,),
    "Com": (request_lines.rails,),
    "# T": (slow_query,),
}
_BY_FIRST: dict[str, tuple[request_lines.Reader, ...]] = {
    **dict.fromkeys(BY_LETTER, (rails, glog, android_brief)),
    "=": (erlang,),
    "*": (cisco,),
    **dict.fromkeys("\"'(|{<", (wrapped,)),
    ".": (cisco,),
}
