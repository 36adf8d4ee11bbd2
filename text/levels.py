"""Severity: a level as people write it -> OpenTelemetry severity number (1-24) and text (TRACE … FATAL)."""

from __future__ import annotations

from text.escapes import without_colours

Severity = tuple[int, str]

UNKNOWN: Severity = (0, "")

# Source: OpenTelemetry log data model, appendix B (syslog, Apache, log4j, java.util.logging, .NET).
_NUMBERS = {
    **dict.fromkeys(("trace", "trc", "trce", "verbose", "finest", "all", "silly", "trac"), 1),
    "finer": 2,
    **dict.fromkeys(("debug", "dbg", "debg", "dbug", "debu", "fine", "debug5", "http"), 5),
    **dict.fromkeys(("info", "inf", "information", "informational", "config", "log", "note", "success", "default"), 9),
    "notice": 10,
    **dict.fromkeys(("warn", "warning", "wrn"), 13),
    **dict.fromkeys(("error", "err", "eror", "erro", "severe", "failure", "fail", "fault"), 17),
    "crit": 18,
    "alert": 19,
    **dict.fromkeys(("fatal", "critical", "emerg", "emergency", "panic", "dpanic", "fata", "pani"), 21),
}
_TEXTS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SYSLOG = (21, 19, 18, 17, 13, 10, 9, 5)  # by syslog severity, 0 (emergency) to 7 (debug)
_SPOKEN = ("trace", "debug", "info", "notice", "warn", "warning", "error", "err", "crit", "critical", "alert", "emerg")
_WORDS = (*_SPOKEN, "fatal", "panic", "severe", "finest", "finer", "fine", "verbose", "information")
# Source: Monolog's levels, which Google Cloud's share below 500, and log4j's. Pino's go in tens, python's as well.
_LARGE = {100: 5, 200: 9, 250: 10, 300: 13, 400: 17, 500: 18, 550: 19, 600: 21}
_LARGE |= {5_000: 1, 10_000: 5, 20_000: 9, 30_000: 13, 40_000: 17, 50_000: 21}
_GOOGLE = {100: 5, 200: 9, 300: 10, 400: 13, 500: 17, 600: 18, 700: 19, 800: 21}
_PINO, _PYTHON = (1, 5, 9, 13, 17, 21), (5, 9, 13, 17, 21)  # of 10, 20, ...
_LETTERS = frozenset(("F", "E", "W", "I", "D", "D1", "D2", "D3", "D4", "D5"))
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
_LEADING |= {f"{letter}!": severity for letter, severity in BY_LETTER.items()}  # Telegraf
_CACHE: dict[str, Severity] = {}


def named(text: str) -> Severity:
    """A level as a sender wrote it. What is not known keeps its text and has number 0."""
    known = _CACHE.get(text)
    if known is None:
        known = _named(without_colours(text).strip().lower()) or (0, text)
        if len(_CACHE) < 4096:
            _CACHE[text] = known
    return known


def _named(name: str) -> Severity | None:
    """A name, a number that is written as one (`50`, not `012`), or a name with a distance (`INFO+2`)."""
    known = _BY_NAME.get(name.strip("[]()<>:"))
    if known is not None or len(name) > 16:
        return known
    if name.isdecimal() and str(int(name)) == name:
        return numbered(int(name))
    for sign in "+-":
        base, found, distance = name.partition(sign)
        if found and distance.isdecimal() and base in ("debug", "info", "warn", "error"):
            number = min(max(_NUMBERS[base] + int(sign + distance), 1), 24)
            return number, text_of(number)
    return None


def numbered(value: int) -> Severity | None:
    """A level's number: of syslog (0-7), in tens (10 trace … 60 fatal, and those between), of Monolog, or of log4j."""
    if 0 <= value <= 7:
        return of_syslog(value)
    number = _PINO[value // 10 - 1] if 10 <= value < 70 else _LARGE.get(value, 0)
    return (number, text_of(number)) if number else None


def of_python(value: object) -> Severity | None:
    """Python's `levelno`: 10 debug ... 50 critical."""
    number = _PYTHON[value // 10 - 1] if type(value) is int and 10 <= value < 60 else 0
    return (number, text_of(number)) if number else None


def of_severity(value: object) -> Severity | None:
    """A field `severity`: as `valued`, and OpenTelemetry's numbers (8-24), Google Cloud's (100-800), or their text."""
    if type(value) is str and len(value) < 4 and value.isdecimal() and str(int(value)) == value:
        value = int(value)
    if type(value) is int and value > 7:
        number = value if value <= 24 else _GOOGLE.get(value, 0)
        return (number, text_of(number)) if number else None
    return valued(value)


def of_otel(value: object) -> Severity | None:
    """OpenTelemetry's `severity_number`, 1-24."""
    if type(value) is str and value.isdecimal() and len(value) < 3:
        value = int(value)
    return (value, text_of(value)) if type(value) is int and 1 <= value <= 24 else None


def of_letter(value: object) -> Severity | None:
    """MongoDB's `s`: F, E, W, I, D, D1-D5."""
    if type(value) is not str or value not in _LETTERS:
        return None
    return _BY_NAME["debug" if value[0] == "D" else value.lower()]


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
    """The level field of a structured record: a name, or a number as `numbered` takes it."""
    if type(value) is str:
        found = named(value)
        return found if found[0] else None
    if type(value) is float and value.is_integer():
        value = int(value)
    return numbered(value) if type(value) is int else None


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
