"""Words: a text -> the words that a search finds it by, the same wherever it is stored.

A word is a run of letters, digits and the marks on them, in composed form (NFC), lower-cased. Han, Kana, Hangul, Thai,
Lao, Khmer and Burmese write no blanks between words: each of their characters is a word, and so is each symbol and
emoji beyond ASCII. Escape sequences are no part of a word (`text.escapes`).

A text is *plain* when its words are its runs of `[0-9A-Za-z]`, lower-cased, none longer than `LONGEST_BYTES`: an engine
splits it by itself. Any other text is split here, and nowhere else.
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

LONGEST_BYTES = 255  # of a word in an index
CUT = "\x82"  # begins a word that was cut for an index
_KEPT_BYTES = 160

_SPACES = {code: " " for code in range(128) if not chr(code).isalnum()}
_LONG = bytes_pattern(rb"[0-9A-Za-z]{256}")
_ODD = re.compile(r"\\[nrtxu0e]")  # begins an escape sequence that is spelt out
# Source: the Unicode blocks of Thai, Lao, Burmese, Khmer, Han, Bopomofo, Kana and Hangul.
_UNSPACED = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x1200), range(0x1780, 0x1800), range(0x3005, 0x3008)),
    *(range(0x3021, 0x302A), range(0x303B, 0x303C), range(0x3041, 0x3190), range(0x31A0, 0x31C0)),
    *(range(0x31F0, 0x3200), range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xA960, 0xA980)),
    *(range(0xAC00, 0xD800), range(0xF900, 0xFB00), range(0xFF66, 0xFFDD), range(0x1B000, 0x1B170)),
)
_FIRST_PLANE_OF_HAN, _END_OF_HAN = 0x20000, 0x40000
_VARIANTS = range(0xFE00, 0xFE10)  # selectors of how a character looks


@dataclass(frozen=True, slots=True)
class Classes:
    """The inside of classes of a regular expression: what a run begins with, marks, what is a word by itself."""

    run: str
    marks: str
    alone: str


@functools.cache
def classes() -> Classes:
    """Made once, at the first text that is not plain: some 50 ms."""
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
    """As `[run][run marks]*|[alone][marks]*`, with cheap tests first."""
    of, unspaced = classes(), _ranges(code for block in _UNSPACED for code in block)
    run = f"[^\\W_{unspaced}{chr(_FIRST_PLANE_OF_HAN)}-{chr(_END_OF_HAN)}]"
    mark, alone = f"(?:(?=[^\x00-\u02ff])[{of.marks}])", f"(?=[^\x00-\x7f])[{of.alone}]"
    found: Callable[[str], list[str]] = re.compile(f"{run}+(?:{mark}+{run}*)*|{alone}{mark}*").findall
    return found


def words(text: str) -> list[str]:
    """The words of `text`, in order, those that are too long for an index included."""
    if text.isascii():
        return without_escapes(text).lower().translate(_SPACES).split()
    return _splitter()(folded(without_escapes(text)))


def folded(text: str) -> str:
    """`text` composed, and each character lower-cased on its own."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).replace("Σ", "σ").lower()  # lower() looks at neighbours for Σ alone


def is_plain(text: str) -> bool:
    """Whether an engine may split `text`."""
    return _is_simple(text) and (len(text) <= LONGEST_BYTES or _LONG.search(text.encode()) is None)


def _is_simple(text: str) -> bool:
    return text.isascii() and "\x1b" not in text and ("\\" not in text or _ODD.search(text) is None)


def all_plain(texts: Sequence[str]) -> bool:
    """Whether each of them surely is: one look at all costs far less than one at each."""
    return _are_plain("\n".join(texts), texts)


def _are_plain(joined: str, texts: Sequence[str]) -> bool:
    if not _is_simple(joined):
        return False
    # A long word in a text of less than two covers its middle.
    long = [text for text in texts if text[240:256].isalnum() or len(text) > 496]
    return not long or _LONG.search("\n".join(long).encode()) is None


def split_plain(texts: Sequence[str]) -> tuple[str, list[str]]:
    """The plain ones of `texts` in one, with white space between, and the others."""
    joined = "\n".join(texts)
    if _are_plain(joined, texts):
        return joined, []
    plain, odd = list[str](), list[str]()
    for text in texts:
        (plain if is_plain(text) else odd).append(text)
    return "\n".join(plain), odd


def index_word(word: str) -> str:
    """A word as it stands in an index: whole, or when it is too long its beginning and a hash."""
    if len(word) <= LONGEST_BYTES // 4:
        return word
    raw = word.encode()
    if len(raw) <= LONGEST_BYTES:
        return word
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return f"{CUT}{raw[:_KEPT_BYTES].decode(errors='ignore')}{CUT}{digest}"


def cut_beginning(text: str) -> str:
    """What every cut word begins with whose whole begins with `text`."""
    return CUT + text.encode()[:_KEPT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class WordPattern:
    """A wildcard over words.

    Attributes:
        pattern: Folded; matches one whole word.
        within: It holds characters that are words by themselves, and is looked for within a run of any.
    """

    pattern: str
    within: bool

    def alone(self) -> list[str]:
        """The characters that every match holds and that are, with their marks, words by themselves."""
        inside = classes().alone
        return [character for text in literals(self.pattern) for character in text if _is_of(inside, character)]

    def test(self) -> Callable[[str], bool]:
        """Of a text. Takes time linear in it, whatever a user asks for.

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
    """`pattern` over words; None: it holds a character that no word holds."""
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
