"""Wildcards: a pattern -> its parts.

`*` matches any run of characters, `?` matches one character, and a backslash makes the next character literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

ANY_RUN, ANY_ONE = "*", "?"
_PART = re.compile(r"\\.|.", re.DOTALL)


@lru_cache(maxsize=1024)
def parts_of(pattern: str) -> tuple[tuple[bool, str], ...]:
    """The parts in order: (True, "*" or "?") or (False, literal text). Two literal texts are never neighbours."""
    parts: list[tuple[bool, str]] = []
    for part in _PART.findall(pattern):
        if part in (ANY_RUN, ANY_ONE):
            parts.append((True, part))
        elif parts and not parts[-1][0]:
            parts[-1] = (False, parts[-1][1] + part[-1])
        else:
            parts.append((False, part[-1]))
    return tuple(parts)


def beginning(pattern: str) -> str:
    """The literal text at the start of every match; "" if the pattern begins with a wildcard."""
    parts = parts_of(pattern)
    return parts[0][1] if parts and not parts[0][0] else ""


def literals(pattern: str) -> list[str]:
    """The literal texts in the pattern; every match holds all of them."""
    return [text for wild, text in parts_of(pattern) if not wild]


def as_regex(pattern: str, any_one: str, literal: Callable[[str], str]) -> str:
    """`pattern` as a regular expression.

    Args:
        any_one: A regular expression that matches one character.
        literal: Escapes a text, so that the regular expression matches exactly this text.
    """
    return "".join(
        literal(text) if not wild else any_one if text == ANY_ONE else f"{any_one}*" for wild, text in parts_of(pattern)
    )
