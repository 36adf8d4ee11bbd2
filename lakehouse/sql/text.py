r"""Words and wildcards -> regular expressions of the lake's engine (Rust `regex`).

SQL finds words exactly in plain texts (`text.words`). In an *odd* text, which may not be plain, SQL only checks that
all letters of the words occur in some form and in order; `match` then decides.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from lakehouse.sql.literals import text_literal
from text.wildcards import as_regex, literals
from text.words import WordPattern

_SPECIAL = re.compile(r"[^0-9A-Za-z_\u0080-\U0010ffff]")
_EDGE = r"(?:\b|_)"  # beside a letter or digit of a plain text
_APART = r"[\x{0}-/:-@\[-`{-\x{7f}]+"  # between two words of a plain text
_BETWEEN = r"[\p{M}\x{1160}-\x{11ff}]*"  # marks, and the further letters of a Hangul syllable
_ODD = r"[\x{1b}\x{5c}]"
_HANGUL = range(0xAC00, 0xD7A4)
# Where characters stand whose composed form (NFC) is another one. Source: Unicode, NFC_Quick_Check=No.
_OTHERS = (range(0x340, 0x2ADD), range(0xF900, 0xFB4F), range(0x1D15E, 0x1D1C1), range(0x2F800, 0x2FA1E))


def escape(text: str) -> str:
    """`text` as a literal in a pattern. ASCII characters other than letters and digits are written by code point."""
    return _SPECIAL.sub(lambda match: f"\\x{{{ord(match[0]):x}}}", text)


def matches(column: str, pattern: str) -> str:
    return f"regexp_like({column}, {text_literal(pattern)})"


def odd(column: str) -> str:
    """Whether a text is not ASCII, or holds an escape or a backslash."""
    return f"(octet_length({column}) <> character_length({column}) OR {matches(column, _ODD)})"


def whole_pattern(pattern: str) -> str:
    """A case-sensitive pattern that matches whole values, for a wildcard."""
    return f"(?s)^(?:{as_regex(pattern, '.', escape)})$"


def phrase_pattern(words: tuple[str, ...]) -> str | None:
    """A pattern that matches plain texts with these adjacent words; None: no plain text can match."""
    if not all(word.isascii() for word in words):
        return None
    return f"(?i-u){_EDGE}{_APART.join(words)}{_EDGE}"


def word_like_pattern(wanted: WordPattern) -> str | None:
    """A pattern that matches plain texts with a word of this form; None: no plain text can match."""
    if not wanted.pattern.isascii():
        return None
    if not wanted.pattern.strip("*"):
        return "[0-9A-Za-z]"
    return f"(?i-u){_EDGE}{as_regex(wanted.pattern, '[0-9a-z]', escape)}{_EDGE}"


def letters_of(wanted: WordPattern) -> list[str]:
    """Patterns of the literal parts. The letter "İ" has two characters in lower case: "i" and a mark."""
    return [letters_pattern(text) if "i" not in text else f"(?i){_written(text)}" for text in literals(wanted.pattern)]


def letters_pattern(folded: str) -> str:
    """A pattern that matches every text that contains `folded` after composing and lower-casing.

    `folded` holds letters, digits, marks and symbols.
    """
    if folded.isascii():
        return f"(?i){folded}"
    return f"(?i){_written(folded)}"


def _written(folded: str) -> str:
    letters = (letter for letter in folded if unicodedata.category(letter)[0] != "M")
    return "".join(f"[{escape(_forms(letter))}]{_BETWEEN}" for letter in letters)


def _forms(character: str) -> str:
    """The possible first characters of a text that composes to `character`."""
    base = unicodedata.normalize("NFD", character)[0]
    forms = {character, base} | _compose_to().get(character, set())
    if ord(character) in _HANGUL:
        forms.add(chr(ord(character) - (ord(character) - _HANGUL.start) % 28))
    elif base != character or character == "i":
        forms |= _made_of().get(base, set())
    return "".join(sorted(forms))


@functools.cache
def _made_of() -> dict[str, set[str]]:
    """Base character -> the composed characters that add marks to it; a text may hold other marks in between."""
    found: dict[str, set[str]] = {}
    for code in (*range(0xC0, 0x3400), *range(0x11000, 0x12000)):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base != chr(code):
            found.setdefault(base.lower(), set()).add(chr(code))
    return found


@functools.cache
def _compose_to() -> dict[str, set[str]]:
    """First character of a composed form -> the characters whose composed form begins with it."""
    found: dict[str, set[str]] = {}
    for code in (code for block in _OTHERS for code in block):
        composed = unicodedata.normalize("NFC", chr(code))
        if composed != chr(code):
            found.setdefault(composed[0].lower(), set()).add(chr(code))
    return found
