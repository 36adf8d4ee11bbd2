"""Patterns of RE2: their time is linear in the text, whatever pattern a user gives."""

from __future__ import annotations

import re

import re2


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile `pattern` for texts.

    Raises:
        ValueError: The compiled pattern needs too much memory.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        made: re.Pattern[str] = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError("a wildcard is too long or too complex: shorten it") from error
    return made


def bytes_pattern(pattern: bytes) -> re.Pattern[bytes]:
    """Compile a pattern for bytes that stands in our own code, so it must be valid."""
    made: re.Pattern[bytes] = re2.compile(pattern)
    return made


def given_bytes_pattern(pattern: str) -> re.Pattern[bytes]:
    """Compile a user's pattern for bytes of UTF-8.

    Raises:
        ValueError: RE2 cannot read the pattern, or the pattern needs too much memory; the message is RE2's reason.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        made: re.Pattern[bytes] = re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error
    return made


def escape(text: str) -> str:
    """A pattern that matches exactly `text`."""
    escaped: str = re2.escape(text)
    return escaped
