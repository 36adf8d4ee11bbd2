r"""Text and wildcards -> regular expressions of the lake's engine (Rust `regex`), by the hot store's tokens.

A token is a run of characters that are \p{Alphabetic} or \p{N}, lower-cased character by character. Instead of a
case-insensitive flag (which folds more than lower-casing does), each character of a token is matched by the set of
characters whose lower case it is.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator

from lakehouse.hot.tantivy.schema import LONGEST_TOKEN_BYTES, tokens

ALPHANUMERIC = r"[\p{Alphabetic}\p{N}]"
OTHER = r"[^\p{Alphabetic}\p{N}]"
_SPECIAL = re.compile(r"[^0-9A-Za-z_\u0080-\U0010ffff]")
_LAST_CASED = 0x1E943


def escape(text: str) -> str:
    """`text` as a literal in a pattern. Control characters by number, the rest of ASCII punctuation by backslash."""
    return _SPECIAL.sub(lambda match: f"\\x{{{ord(match[0]):x}}}", text)


@functools.cache
def _written_as() -> dict[str, str]:
    """Lower-cased text of one character -> the characters that give it, itself included where it does."""
    sources: dict[str, str] = {}
    for code in range(_LAST_CASED + 1):
        character = chr(code)
        lowered = character.lower()
        if lowered != character:
            sources[lowered] = sources.get(lowered, "") + character
    return sources


_DOTTED_I = "i\u0307"  # the only lower case of two characters; "İ" alone gives it


def _lowered(literal: str) -> Iterator[str]:
    """Patterns that match, in a row, whatever lower-cases to `literal`."""
    position = 0
    while position < len(literal):
        if literal.startswith(_DOTTED_I, position):
            yield "\u0130"
            position += 2
            continue
        character = literal[position]
        others = _written_as().get(character, "")
        itself = character if character.lower() == character else ""
        yield f"[{escape(itself + others)}]" if others else escape(character)
        position += 1


def phrase_pattern(text: str) -> str | None:
    """A pattern for all tokens of `text`, adjacent and in order; None when it can match nothing."""
    words = tokens(text)
    if not words or any(len(word.encode()) > LONGEST_TOKEN_BYTES for word in words):
        return None
    inner = f"{OTHER}+".join("".join(_lowered(word)) for word in words)
    return f"(?:^|{OTHER}){inner}(?:$|{OTHER})"


_WILDCARD_PART = re.compile(r"\\[*?\\]|.", re.DOTALL)


def split_wildcard(pattern: str) -> list[tuple[bool, str]]:
    """`pattern` as (True, "*" or "?") and (False, literal text) in a row. A lone backslash stands for itself."""
    parts: list[tuple[bool, str]] = []
    for part in _WILDCARD_PART.findall(pattern):
        if part in ("*", "?"):
            parts.append((True, part))
        elif parts and not parts[-1][0]:
            parts[-1] = (False, parts[-1][1] + part[-1])
        else:
            parts.append((False, part[-1]))
    return parts


def token_pattern(pattern: str) -> str | None:
    """A pattern for one token that matches the wildcard `pattern`; None when no token can."""
    inner = ""
    for wild, text in split_wildcard(pattern):
        if wild:
            inner += f"{ALPHANUMERIC}*" if text == "*" else ALPHANUMERIC
            continue
        lowered = "".join(character.lower() for character in text)
        if len(tokens(text)) != 1 or tokens(text)[0] != lowered:
            return None  # holds a character that no token holds
        inner += "".join(_lowered(lowered))
    if not inner:
        return None
    if not inner.replace(f"{ALPHANUMERIC}*", ""):
        inner = f"{ALPHANUMERIC}+"
    return f"(?:^|{OTHER}){inner}(?:$|{OTHER})"


def whole_pattern(pattern: str) -> str:
    """A pattern for whole values that match the wildcard `pattern`, case-sensitive."""
    inner = "".join((".*" if text == "*" else ".") if wild else escape(text) for wild, text in split_wildcard(pattern))
    return f"(?s)^(?:{inner})$"


def number_of(value: object) -> float | None:
    """`value` as a double; None when it is no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf
