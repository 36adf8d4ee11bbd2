"""Words: a text -> the words by which a search finds the text, the same words in every store.

A word is a run of letters, digits and their combining marks, in composed form (NFC) and lower case. Han, Kana, Hangul,
Thai, Lao, Khmer and Burmese put no blanks between words, so each of their characters is a word. Each symbol and emoji
beyond ASCII is a word too. Escape sequences are never part of a word (`text.escapes`).

A text is *plain* if its words are its runs of `[0-9A-Za-z]` in lower case and no word is longer than `LONGEST_BYTES`.
The search engine splits a plain text itself. Only this module splits any other text.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from text.escapes import without_escapes
from text.patterns import bytes_pattern, compiled, escape
from text.wildcards import as_regex, literals, parts_of

LONGEST_BYTES = 255  # the longest word that an index holds whole
CUT = "\x82"  # first character of a word that was cut for an index
_KEPT_BYTES = 160

_SPACES = {code: " " for code in range(128) if not chr(code).isalnum()}
_LONG = bytes_pattern(rb"[0-9A-Za-z]{256}")
_ODD = re.compile(r"\\[nrtxu0e]")  # start of an escape sequence that is spelt out
# Source: the Unicode blocks of Thai, Lao, Burmese, Khmer, Han, Bopomofo, Kana and Hangul.
_UNSPACED = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x1200), range(0x1780, 0x1800), range(0x3005, 0x3008)),
    *(range(0x3021, 0x302A), range(0x303B, 0x303C), range(0x3041, 0x3190), range(0x31A0, 0x31C0)),
    *(range(0x31F0, 0x3200), range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xA960, 0xA980)),
    *(range(0xAC00, 0xD800), range(0xF900, 0xFB00), range(0xFF66, 0xFFDD), range(0x1B000, 0x1B170)),
)
_FIRST_PLANE_OF_HAN, _END_OF_HAN = 0x20000, 0x40000
_VARIANTS = range(0xFE00, 0xFE10)  # variation selectors: they choose how a character looks


@dataclass(frozen=True, slots=True)
class Classes:
    """Contents of three character classes of a regular expression.

    Attributes:
        run: Characters that a run may begin with.
        marks: Combining marks.
        alone: Characters that are a word by themselves.
    """

    run: str
    marks: str
    alone: str


@functools.cache
def classes() -> Classes:
    """The three classes, computed once, at the first text that is not plain; this takes about 50 ms."""
    unspaced = {code for block in _UNSPACED for code in block}
    run, marks, alone = list[int](), list[int](), list[int]()
    for code in range(_FIRST_PLANE_OF_HAN):
        character = chr(code)
        kind = "N" if character.isalnum() else unicodedata.category(character)[0]
        if kind == "N":
            (alone if code in unspaced else run).append(code)
        elif kind == "M" and code not in _VARIANTS:
            marks.append(code)
        elif kind == "S" and code > 127:
            alone.append(code)
    alone += range(_FIRST_PLANE_OF_HAN, _END_OF_HAN)
    return Classes(_ranges(run), _ranges(marks), _ranges(alone))


def _ranges(codes: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


@functools.cache
def _splitter() -> Callable[[str], list[str]]:
    """A function that matches as `[run][run marks]*|[alone][marks]*`, but tries cheap tests first."""
    of, unspaced = classes(), _ranges(code for block in _UNSPACED for code in block)
    run = f"[^\\W_{unspaced}{chr(_FIRST_PLANE_OF_HAN)}-{chr(_END_OF_HAN)}]"
    mark, alone = f"(?:(?=[^\x00-\u02ff])[{of.marks}])", f"(?=[^\x00-\x7f])[{of.alone}]"
    found: Callable[[str], list[str]] = re.compile(f"{run}+(?:{mark}+{run}*)*|{alone}{mark}*").findall
    return found


def words(text: str) -> list[str]:
    """The words of `text` in order, also words that are too long for an index."""
    if text.isascii():
        return without_escapes(text).lower().translate(_SPACES).split()
    return _splitter()(folded(without_escapes(text)))


def folded(text: str) -> str:
    """`text` in composed form (NFC), with each character lower-cased without regard to its neighbours."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).replace("Σ", "σ").lower()  # only for Σ lower() depends on the neighbours


def is_plain(text: str) -> bool:
    """True if `text` is plain, so that the search engine may split it."""
    return _is_simple(text) and (len(text) <= LONGEST_BYTES or _LONG.search(text.encode()) is None)


def _is_simple(text: str) -> bool:
    return text.isascii() and "\x1b" not in text and ("\\" not in text or _ODD.search(text) is None)


def all_plain(texts: Sequence[str]) -> bool:
    """True if all `texts` are plain. One search over the joined texts costs far less than one for each text."""
    return _are_plain("\n".join(texts), texts)


def _are_plain(joined: str, texts: Sequence[str]) -> bool:
    if not _is_simple(joined):
        return False
    # In a text of at most 496 characters, a word of 256 or more always covers the characters 240 to 255.
    long = [text for text in texts if text[240:256].isalnum() or len(text) > 496]
    return not long or _LONG.search("\n".join(long).encode()) is None


def split_plain(texts: Sequence[str]) -> tuple[str, list[str]]:
    """(plain, odd): all plain `texts` joined by newlines into one text, and the list of the other texts."""
    joined = "\n".join(texts)
    if _are_plain(joined, texts):
        return joined, []
    plain, odd = list[str](), list[str]()
    for text in texts:
        (plain if is_plain(text) else odd).append(text)
    return "\n".join(plain), odd


def index_word(word: str) -> str:
    """The form of `word` in an index: the whole word, or its beginning and a hash if it is too long."""
    if len(word) <= LONGEST_BYTES // 4:
        return word
    raw = word.encode()
    if len(raw) <= LONGEST_BYTES:
        return word
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return f"{CUT}{raw[:_KEPT_BYTES].decode(errors='ignore')}{CUT}{digest}"


def cut_beginning(text: str) -> str:
    """The beginning, in an index, of every cut word whose whole form begins with `text`."""
    return CUT + text.encode()[:_KEPT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class WordPattern:
    """A wildcard over words.

    Attributes:
        pattern: The folded pattern; it matches one whole word.
        within: True if the pattern holds characters that are words by themselves. The pattern is then searched
            across words instead of in one word.
    """

    pattern: str
    within: bool

    def alone(self) -> list[str]:
        """The characters that every match holds and that are words by themselves (together with their marks)."""
        inside = classes().alone
        return [character for text in literals(self.pattern) for character in text if _is_of(inside, character)]

    def test(self) -> Callable[[str], bool]:
        """A function: True if a text matches. Its time is linear in the text, whatever pattern the user gives.

        Raises:
            ValueError: The pattern is too complex.
        """
        if self.within:
            search = compiled(self._inside()).search
            return lambda text: search(folded(without_escapes(text))) is not None
        fits = compiled(f"(?s)(?:{as_regex(self.pattern, '.', escape)})").fullmatch
        if not self.pattern.isascii() or not self.pattern.strip("*"):
            return lambda text: any(fits(word) is not None for word in words(text))
        inner = as_regex(self.pattern, "[a-z0-9]", escape)
        inside = compiled(f"(?:^|[^a-z0-9])(?:{inner})(?:$|[^a-z0-9])").search

        def test(text: str) -> bool:
            if is_plain(text):
                return inside(text.lower()) is not None
            return any(fits(word) is not None for word in words(text))

        return test

    def _inside(self) -> str:
        of, parts = classes(), parts_of(self.pattern)
        before, after = f"(?:^|[^{of.run}{of.marks}])", f"(?:$|[^{of.run}{of.marks}])"
        inner = as_regex(self.pattern, f"[{of.run}{of.marks}{of.alone}]", escape)
        starts = not parts[0][0] and _is_of(of.run, parts[0][1][0])
        ends = not parts[-1][0] and _is_of(of.run + of.marks, parts[-1][1][-1]) and words(parts[-1][1])[-1].isascii()
        return f"{before if starts else ''}(?:{inner}){after if ends else ''}"


def word_pattern(pattern: str) -> WordPattern | None:
    """`pattern` as a wildcard over words; None if it holds a character that is in no word."""
    of, plain = classes(), folded(pattern)
    texts = literals(plain)
    if not all(_is_of(of.run + of.marks + of.alone, character) for text in texts for character in text):
        return None
    return WordPattern(plain, any(_is_of(of.alone, character) for text in texts for character in text))


@functools.lru_cache(maxsize=8)
def _class(inside: str) -> re.Pattern[str]:
    return re.compile(f"[{inside}]")


def _is_of(inside: str, character: str) -> bool:
    return _class(inside).match(character) is not None
