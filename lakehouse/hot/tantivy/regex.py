"""Wildcards and ranges -> regular expressions over an index's ordered terms.

The engine knows no ranges on text. A range of texts is a union: what begins like the bound and then differs upwards
(or downwards), one expression for each character of the bound. A range of numbers is the same over their digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ANY = "(?s:.)"
REST = f"{ANY}*"
_HEX = "0123456789abcdef"
_DECIMAL = "0123456789"
_SPECIAL = re.compile(r"[^0-9A-Za-z\u0080-\U0010ffff]")
_LAST = 0x10FFFF


def literal(text: str) -> str:
    """`text` as a pattern that matches it alone."""
    return _SPECIAL.sub(lambda found: f"\\x{{{ord(found[0]):x}}}", text)


def wildcard(pattern: str, any_one: str, written: Callable[[str], str]) -> str:
    """`*` any run, `?` any one character, a backslash takes what follows as it is.

    Args:
        any_one: Pattern of one character.
        written: How a character stands in the index.
    """
    parts = []
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        if part == "*":
            parts.append(f"{any_one}*")
        elif part == "?":
            parts.append(any_one)
        else:
            parts.append(literal(written(part[-1])))
    return "".join(parts)


def above(bound: str, inclusive: bool) -> Iterator[str]:
    """Patterns of the texts after `bound` by code points; with `inclusive`, also itself."""
    yield literal(bound) + (REST if inclusive else f"{ANY}{REST}")
    for index, character in enumerate(bound):
        if (following := _class(ord(character) + 1, _LAST)) is not None:
            yield f"{literal(bound[:index])}{following}{REST}"


def below(bound: str, inclusive: bool) -> Iterator[str]:
    """Patterns of the texts before `bound` by code points; with `inclusive`, also itself."""
    if inclusive:
        yield literal(bound)
    for index, character in enumerate(bound):
        preceding = _class(0, ord(character) - 1)
        yield literal(bound[:index]) + (f"(?:{preceding}{REST})?" if preceding else "")


def _class(first: int, last: int) -> str | None:
    """Code points from `first` to `last`; surrogates are no characters."""
    first = 0xE000 if 0xD800 <= first <= 0xDFFF else first
    last = 0xD7FF if 0xD800 <= last <= 0xDFFF else last
    return f"[\\x{{{first:x}}}-\\x{{{last:x}}}]" if 0 <= first <= last <= _LAST else None


def hex_between(low: int, high: int) -> str:
    """A pattern of the 16 hex digits from `low` to `high`, both included, which must be in order."""
    return f"(?:{'|'.join(_between(f'{low:016x}', f'{high:016x}', _HEX))})"


def integers_between(low: int | None, high: int | None) -> str:
    """A pattern of the integers from `low` to `high`, both included, which must be in order, as JSON writes them.

    None is open.
    """
    parts: list[str] = []
    if high is None or high >= 0:
        parts += _naturals_between(max(low or 0, 0), high)
    if low is None or low < 0:
        smallest = 1 if high is None else max(-high, 1)
        parts += [f"\\-{part}" for part in _naturals_between(smallest, None if low is None else -low)]
    return f"(?:{'|'.join(parts)})"


def _naturals_between(low: int, high: int | None) -> Iterator[str]:
    """One range for each count of digits."""
    most = len(str(low if high is None else high))
    for digits in range(len(str(low)), most + 1):
        first, last = max(low, 10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1
        yield from _between(str(first), str(last if high is None else min(high, last)), _DECIMAL)
    if high is None:
        yield f"[1-9]{'[0-9]' * most}[0-9]*"


def _between(first: str, last: str, alphabet: str) -> Iterator[str]:
    """Patterns of the texts over `alphabet` from `first` to `last`, all as long as these."""
    size, top = len(first), len(alphabet) - 1
    shared = next((place for place in range(size) if first[place] != last[place]), size)
    if shared == size:
        yield first
        return
    low, high = (alphabet.index(text[shared]) for text in (first, last))
    if first[shared + 1 :].strip(alphabet[0]):
        yield first
        low += 1
        for place in range(shared + 1, size):
            if up := _digits(alphabet, alphabet.index(first[place]) + 1, top):
                yield first[:place] + up + _whole(alphabet, size - place - 1)
    if last[shared + 1 :].strip(alphabet[top]):
        yield last
        high -= 1
        for place in range(shared + 1, size):
            if down := _digits(alphabet, 0, alphabet.index(last[place]) - 1):
                yield last[:place] + down + _whole(alphabet, size - place - 1)
    if middle := _digits(alphabet, low, high):
        yield first[:shared] + middle + _whole(alphabet, size - shared - 1)


def _whole(alphabet: str, count: int) -> str:
    return f"[{alphabet}]" * count


def _digits(alphabet: str, first: int, last: int) -> str:
    return f"[{alphabet[first : last + 1]}]" if first <= last else ""
