"""Marks of levels: a level that is only a part of a word -> its severity.

Examples: `[1][warning][config]`, `|ERROR|App|`, `production.CRITICAL:`, `ERROR/MainProcess]`, `E NETWORK  [conn5]`,
`%LINK-3-UPDOWN:`. These readers cost more, so call them only if `text.levels.spoken` finds no level.
"""

from __future__ import annotations

import re

from text.levels import BY_LETTER, Severity, named, of_syslog

_CHARS, _JOINED_CHARS = 120, 160  # searched behind the time; PostgreSQL's csvlog has its level so late
_HEAD_CHARS = 48
_ALONE = ":|,"  # such a mark belongs to the word behind it
_JOINTS = frozenset("[]|<(/,;:.{=*#")
_CLOSING = {"[": ("]", ":"), "|": ("|",), "<": (">",), "(": (")",), "/": ("]",), ":": (":",), ";": (";",), "{": ("}",)}
_NAMES = (
    "trace|debug|fine|finer|finest|info|information|notice|note|warn|warning|wrn|error|err|severe|crit|critical|alert|"
    "emerg|emergency|fatal|panic|dbg|inf|ftl|vrb|LOG(?=:)"
)
_NAME = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_NAMES})(?![A-Za-z0-9_-])", re.ASCII | re.IGNORECASE)
_LETTER = re.compile(r"\[([DIWEFV])\]")
_NAMED = {"log": "info", "note": "notice", "ftl": "fatal", "vrb": "debug"}
_CISCO = re.compile(r"%[A-Z][A-Z0-9_]{1,40}(?:-[A-Z][A-Z0-9_]{0,40}){0,3}-([0-7])-[A-Z0-9_]{2,40}:", re.ASCII)
_MONGO = {**BY_LETTER, **{f"D{step}": BY_LETTER["D"] for step in range(1, 6)}}
_LOGRUS = {
    "TRAC": "trace",
    "DEBU": "debug",
    "INFO": "info",
    "WARN": "warn",
    "ERRO": "error",
    "FATA": "fatal",
    "PANI": "panic",
}
_PHP = {
    "Fatal error:": "fatal",
    "Recoverable fatal error:": "error",
    "Parse error:": "error",
    "Catchable fatal error:": "error",
    "Warning:": "warn",
    "Notice:": "notice",
    "Deprecated:": "notice",
    "Strict Standards:": "notice",
}


def beyond(line: str, start: int) -> Severity | None:
    """The level of a mark near `start`, or None."""
    words = line[start : start + _HEAD_CHARS].split(None, 2)
    if not words:
        return None
    word = words[0]
    if len(word) <= 2 and word in _MONGO:
        return _MONGO[word] if len(words) > 1 and (words[1].isupper() or words[1] == "-") else None
    if line.find("%", start, start + _CHARS) >= 0 and (found := _cisco(line, start)) is not None:
        return found
    if word.isalnum():
        alone = line[start : start + 1] == "\t" == line[start + 1 + len(word) : start + 2 + len(word)]
        return named(word.lower()) if alone and _NAME.fullmatch(word) else None
    if len(word) == 1 and len(words) > 1 and word not in _ALONE:
        word = words[1]
    return None if _JOINTS.isdisjoint(word) else _joined(line, start)


def _joined(line: str, start: int) -> Severity | None:
    letter = _LETTER.search(line, start, start + 32)
    if letter is not None:
        return BY_LETTER[letter[1]]
    for found in _NAME.finditer(line, start, start + _JOINED_CHARS):
        text = found.group()
        if text.isupper() or _is_enclosed(line, found.start(), found.end(), start):
            name = text.lower()
            return named(_NAMED.get(name, name))
    return None


def _is_enclosed(line: str, begin: int, end: int, start: int) -> bool:
    before = line[max(start, begin - 8) : begin].rstrip()[-1:]
    if before == ",":
        return line[end : end + 2] == "  " or (begin == start + 1 and line[end : end + 1] == ",")
    return before != "" and line[end : end + 8].lstrip()[:1] in _CLOSING.get(before, ())


def _cisco(line: str, start: int) -> Severity | None:
    at = line.find("%", start, start + _CHARS)
    found = None if at < 0 else _CISCO.match(line, at)
    return None if found is None else of_syslog(int(found[1]))


def at_the_start(line: str) -> Severity | None:
    """The level of a line without a time: Cisco, Minecraft (`[19:40:07] [Server thread/INFO]:`)."""
    return _cisco(line, 0) or _joined(line, 0) if line[:1] in ("%", "*", "[", "<", "|") else None


def php(line: str, start: int) -> Severity | None:
    """The level of a message of PHP: `Fatal error:  Uncaught …`."""
    head = line[start : start + 32].partition(":")[0] + ":"
    name = _PHP.get(head)
    return None if name is None else named(name)


def of_logrus(line: str) -> Severity | None:
    """The level of a line of logrus: `ERRO[0001] …`.

    The line begins with the first four letters of the level. The brackets hold the seconds since the program's start.
    """
    name = _LOGRUS.get(line[:4]) if line[4:5] == "[" else None
    return None if name is None else named(name)
