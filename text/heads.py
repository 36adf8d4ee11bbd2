"""Heads: the start of a line, as bytes -> whether the line has a time, a level or a structure of its own.

A cheap test for whoever joins lines to records (the agent): it says that a time stands there, not which time. A reader
that is exact stands in `text.times` and in the forms of the flow. Patterns are linear in the length of a line.
"""

from __future__ import annotations

import re

from text.patterns import bytes_pattern

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_COLOUR = r"(?:\x1b\[[\d;]*m)*"
_DATED = "|".join(
    (
        r"\d{4}[-/.]\d\d[-/.]\d\d(?:T|_| +|, ?|\]\[)\d\d:\d\d",  # 2026-11-30 19:40
        r"\d{8}[T ]\d\d:?\d\d:?\d\d",  # 20261130T194007Z
        r"\d\d?[-/.]\d\d?[-/.](?:\d{4}|\d\d)(?:T|,? +)\d\d?:\d\d",  # 30.11.2026 19:40, 26/11/30 19:40
        rf"\d\d?[-/ ]{_MONTH}[-/ ]\d{{4}}[: ]\d\d:\d\d",  # 30/Nov/2026:19:40, 30 Nov 2026 19:40
        rf"{_MONTH} [ \d]?\d,?(?: \d{{4}},?)? \d\d?:\d\d",  # Nov 30 19:40:07, Nov 30, 2026 7:40:07 PM
        r"\d\d-\d\d \d\d:\d\d:\d\d",  # 11-30 19:40:07
    )
)
_FIRST = "|".join(
    (
        r"\d\d:\d\d:\d\d",
        r"\d{6} \d{6} ",
        r"\d{10}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?:[\s,|;:\]]|$)",  # a count of seconds of our days
        r"1\.\d{6,18}e\+09\s",  # the same as Go prints floats
        r"[A-Z]\d{4} \d\d:\d\d:\d\d",  # klog
        r"<\d{1,3}>",  # syslog
    )
)
_LEVELS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|CRIT|CRITICAL|ALERT|EMERG|FATAL|SEVERE|FINE|FINER|FINEST"
_LEVELS += "|VERBOSE|PANIC"
_LEVEL = rf"(?:{_LEVELS})(?:[:|\]\[\x1b-]|\s+[^=\s]|\s*$)|[\[(<|](?i:{_LEVELS})[\])>|]"
_PAIR = r'[A-Za-z_@][\w.@-]*=(?:"[^"]*"|[^\s",()]+)'
_STRUCTURE = rf'\{{[ \t]*".*\}}[ \t\r]*$|{_PAIR} +{_PAIR}'
_QUICK = rb"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d|\{\"|\[\d{4}[-/]\d\d[-/]\d\d[T ]|[IWEF]\d{4} \d\d:\d\d:|"
_QUICK += _MONTH.encode() + rb" [ \d]\d \d\d:\d\d:|\d+\.\d+\.\d+\.\d+ \S+ \S+ \[\d\d/"

_own = bytes_pattern(rf"[ \t]*{_COLOUR}[ \t]*[\[(]?{_COLOUR}(?:{_DATED}|{_FIRST}|{_LEVEL}|{_STRUCTURE})".encode()).match
_TIMED = rf"[ \t]*{_COLOUR}[\[(\"'|]*(?:{_FIRST}|\{{|(?:[^\s]+[ \t]+){{0,8}}[^\s\d]*(?:{_DATED}))"
_timed = bytes_pattern(_TIMED.encode()).match
_find_timed = bytes_pattern(rb"(?m)\n" + _TIMED.encode()).search

UNUSUAL = re.compile(rb"\n(?!" + _QUICK + rb")")
r"""Finds, in lines that each have a `\n` before them, those that do not begin with one of the usual times or `{"`."""


def has_own_head(line: bytes) -> bool:
    """True if `line` begins, after blanks, with a time, a level in capitals or brackets, a JSON object or logfmt."""
    return _own(line) is not None


def has_time(line: bytes) -> bool:
    """True if a date with a time stands among the first words of `line`, or a JSON object begins there."""
    return _timed(line[:512]) is not None


def find_timed(lines: bytes, begin: int, end: int) -> int | None:
    """Offset of the newline before the first line of `lines[begin:end]` for which `has_time` is true."""
    found = _find_timed(lines, begin, end)
    return found.start() if found else None
