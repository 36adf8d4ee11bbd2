"""Wildcards and ranges -> regular expressions over an index's ordered terms.

The engine knows no ranges on text. A range of texts is a union: what begins like the bound and then differs upwards
(or downwards), one expression for each character of the bound. A range of numbers is the same over 16 hex digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ANY = "(?s:.)"
REST = f"{ANY}*"
_HEX = "0123456789abcdef"
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
    first, last = f"{low:016x}", f"{high:016x}"
    shared = next((place for place in range(16) if first[place] != last[place]), 16)
    if shared == 16:
        return first
    head, inner = first[:shared], [first, last]
    middle = _digits(_HEX.index(first[shared]) + 1, _HEX.index(last[shared]) - 1)
    parts = [f"{head}{middle}[0-9a-f]*"] if middle else []
    for place in range(shared + 1, 16):
        if up := _digits(_HEX.index(first[place]) + 1, 15):
            parts.append(f"{first[:place]}{up}[0-9a-f]*")
        if down := _digits(0, _HEX.index(last[place]) - 1):
            parts.append(f"{last[:place]}{down}[0-9a-f]*")
    return f"(?:{'|'.join([*inner, *parts])})"


def _digits(first: int, last: int) -> str:
    return f"[{_HEX[first : last + 1]}]" if first <= last else ""
