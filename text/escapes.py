r"""Escape sequences: text with codes for a terminal or from an encoder -> text as people read it.

Two kinds are never part of a word: colour sequences, raw or spelt out (`\x1b[31m`, `\u001b[31m`, `\033[31m`), and a
spelt-out line feed, return or tab (`\n`). The path of a Windows file keeps its backslashes: `C:\new` has no line feed.
"""

from __future__ import annotations

import re

_CODE = r"\[[0-?]*[ -/]*[@-~]"
_COLOUR = re.compile(f"\x1b(?:{_CODE})?")
_SEQUENCE = re.compile(
    rf"\x1b(?:{_CODE}|\][^\x07\x1b]*+(?:\x07|\x1b\\)?)?|(?:(?<!\\)\\++(?:x1[bB]|u001[bB]|033|e)|#033){_CODE}"
)
_PATH = r"(?<![0-9A-Za-z])[A-Za-z]:\\[^\s\"'<>|]*|(?<![^\s\"'(=])\\\\\w[^\s\"'<>|]*"
_SPELT = re.compile(rf"({_PATH})|\x1b(?:{_CODE})?|\\(?:x1[bB]|u001[bB]|033|e){_CODE}|\\[nrt]")


def has_escapes(text: str) -> bool:
    """True if `without_escapes` may change `text`."""
    return "\x1b" in text or "\\" in text


def without_escapes(text: str) -> str:
    """`text` with a blank in place of each escape sequence."""
    return _SPELT.sub(lambda found: found[1] or " ", text) if has_escapes(text) else text


def without_colours(text: str) -> str:
    """`text` as a terminal shows it."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


def without_sequences(text: str) -> str:
    """`text` without terminal commands: colours and titles, raw or spelt out, also with doubled backslashes."""
    return _SEQUENCE.sub("", text) if "\x1b" in text or "[" in text else text
