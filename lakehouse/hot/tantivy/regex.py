"""Ranges of texts -> regular expressions over an index's ordered terms.

The engine knows no ranges on text. A range is a union: what begins like the bound and then differs upwards (or
downwards), one expression for each character of the bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ANY = "(?s:.)"
REST = f"{ANY}*"
_SPECIAL = re.compile(r"[^0-9A-Za-z\u0080-\U0010ffff]")
_LAST = 0x10FFFF


def literal(text: str) -> str:
    """`text` as a pattern that matches it alone."""
    return _SPECIAL.sub(lambda found: f"\\x{{{ord(found[0]):x}}}", text)


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
