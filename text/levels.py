"""Severity: a level as people write it -> OpenTelemetry severity number (1-24) and text (TRACE … FATAL)."""

from __future__ import annotations

Severity = tuple[int, str]

UNKNOWN: Severity = (0, "")

# Source: OpenTelemetry log data model, appendix B (syslog, Apache, log4j, java.util.logging, .NET).
_NUMBERS = {
    **dict.fromkeys(("trace", "trc", "verbose", "finest", "all"), 1),
    "finer": 2,
    **dict.fromkeys(("debug", "dbg", "debg", "fine"), 5),
    **dict.fromkeys(("info", "inf", "information", "informational", "config"), 9),
    "notice": 10,
    **dict.fromkeys(("warn", "warning", "wrn"), 13),
    **dict.fromkeys(("error", "err", "eror", "severe", "failure"), 17),
    "crit": 18,
    "alert": 19,
    **dict.fromkeys(("fatal", "critical", "emerg", "emergency", "panic", "dpanic"), 21),
}
_TEXTS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SYSLOG = (21, 19, 18, 17, 13, 10, 9, 5)  # by syslog severity, 0 (emergency) to 7 (debug)
_SPOKEN = ("trace", "debug", "info", "notice", "warn", "warning", "error", "err", "crit", "critical", "alert", "emerg")
_WORDS = (*_SPOKEN, "fatal", "panic", "severe", "finest", "finer", "fine", "verbose", "information")
_SYSLOG_DIGITS = frozenset("01234567")
_SCAN_CHARS = 120
_HEAD_CHARS = 24  # mostly the first word is the level
_SCAN_WORDS = 6


def text_of(number: int) -> str:
    """The text of a number; 0 is ""."""
    return _TEXTS[(number - 1) // 4] if 1 <= number <= 24 else ""


_BY_NAME: dict[str, Severity] = {name: (number, text_of(number)) for name, number in _NUMBERS.items()}
_BY_NAME |= {
    f"{text.lower()}{step + 1}": (4 * rank + step + 1, text) for rank, text in enumerate(_TEXTS) for step in range(4)
}
for _letter, _name in zip("TDIWEFV", ("trace", "debug", "info", "warn", "error", "fatal", "verbose"), strict=True):
    _BY_NAME[_letter.lower()] = _BY_NAME[_name]
BY_LETTER: dict[str, Severity] = {letter: _BY_NAME[letter.lower()] for letter in "TDIWEFV"}


def _marked() -> dict[str, Severity]:
    """Words that are a level wherever they stand in the first few: in capitals, or marked by brackets or a colon."""
    marks = [("[", "]"), ("[", "]:"), ("(", ")"), ("<", ">"), ("", ":"), ("", "]"), ("[", ""), ("|", "|")]
    words: dict[str, Severity] = {}
    for word in _WORDS:
        for form in (word, word.upper(), word.title()):
            words |= {f"{left}{form}{right}": _BY_NAME[word] for left, right in marks}
        words[word.upper()] = _BY_NAME[word]
    return words


_MARKED = _marked()
# Words of single programs, which mean a level only in this form: PostgreSQL, MySQL, .NET's console, npm, Puppet.
_MARKED |= {"LOG:": _BY_NAME["info"], "[Note]": _BY_NAME["info"], "[System]": _BY_NAME["info"]}
_MARKED |= {"fail:": _BY_NAME["error"], "dbug:": _BY_NAME["debug"], "trce:": _BY_NAME["trace"]}
_MARKED |= {"ERR!": _BY_NAME["error"], "(err):": _BY_NAME["error"], "(warning):": _BY_NAME["warn"]}
# Three and four letters: Serilog, zerolog, charm, slog.
_SHORT = {
    **dict.fromkeys(("TRC", "TRCE", "TRAC", "VRB"), "trace"),
    **dict.fromkeys(("DBG", "DEBG", "DEBU", "DBUG"), "debug"),
    **dict.fromkeys(("INF",), "info"),
    **dict.fromkeys(("WRN",), "warn"),
    **dict.fromkeys(("ERRO", "EROR"), "error"),
    **dict.fromkeys(("FTL", "FATA", "PNC", "PANI"), "fatal"),
}
_MARKED |= {
    form: _BY_NAME[name] for text, name in _SHORT.items() for form in (text, f"[{text}]", f"{text}]", f"{text}:")
}
_LEADING = {word: _BY_NAME[word] for word in _WORDS} | _MARKED  # a bare small word counts only in front
_CACHE: dict[str, Severity] = {}


def named(text: str) -> Severity:
    """A level as a sender wrote it. What is not known keeps its text and has number 0."""
    known = _CACHE.get(text)
    if known is None:
        name = text.strip().lower()
        known = _BY_NAME.get(name) or (of_syslog(int(name)) if name in _SYSLOG_DIGITS else (0, text))
        if len(_CACHE) < 4096:
            _CACHE[text] = known
    return known


def is_level(word: str) -> bool:
    """Whether `word`, in letters of any case, is the name of a level."""
    return word.lower() in _BY_NAME


def band_of(word: str) -> tuple[int, int] | None:
    """The severity numbers that a level's word means in a question, both included; None when it is none.

    The word of one of the six levels, in any of its forms (`err`, `E`), means all four numbers of that level; any other
    word (`crit`, `notice`) its own number.
    """
    name = word.strip().lower()
    number = _BY_NAME.get(name, UNKNOWN)[0]
    if not number:
        return None
    return (number, number + 3) if number % 4 == 1 and not name[-1].isdigit() else (number, number)


def of_syslog(priority: int) -> Severity:
    """A syslog priority (facility times 8 plus severity)."""
    number = _SYSLOG[priority & 7]
    return number, text_of(number)


def valued(value: object) -> Severity | None:
    """The level field of a structured record: a name, a syslog number (0-7), or tens (10 trace … 60 fatal)."""
    if type(value) is str:
        found = named(value)
        return found if found[0] else None
    if type(value) is int:
        if 0 <= value <= 7:
            return of_syslog(value)
        if value in (10, 20, 30, 40, 50, 60):
            number = (value // 10 - 1) * 4 + 1
            return number, text_of(number)
    return None


def spoken(line: str, start: int) -> Severity | None:
    """The level among the first words of `line` after `start`, or None."""
    head = line[start : start + _HEAD_CHARS].split(None, 1)
    if len(head) > 1 and (found := _LEADING.get(head[0])) is not None:
        return found
    words = line[start : start + _SCAN_CHARS].split(None, _SCAN_WORDS)
    if words and (len(words) > _SCAN_WORDS or len(line) > start + _SCAN_CHARS):
        words.pop()  # the rest of the line, or a word that was cut
    if not words:
        return None
    found = _LEADING.get(words[0])
    if found is not None:
        return found
    for word in words:
        found = _MARKED.get(word)
        if found is not None:
            return found
    return _joined(words[0])


def _joined(word: str) -> Severity | None:
    """A level joined to a name by a colon: `ERROR:root:text`, `[core:error]`."""
    head, colon, tail = word.partition(":")
    if not colon:
        return None
    return _MARKED.get(head) if head.isupper() else _MARKED.get(f"[{tail}") if word[0] == "[" else None
