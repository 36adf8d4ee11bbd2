"""Encodings: bytes of a file in any encoding -> the same lines in UTF-8, and where lines and characters end.

Positions always count the bytes of the file. The follower cuts at newlines and at whole characters, so no state of a
decoder has to outlive a read. A newline of UTF-16 or UTF-32 is found by its bytes at any place: after a stretch in
another encoding the next line is read right again.
"""

from __future__ import annotations

import codecs
import functools
from dataclasses import dataclass

from agents.lines import begun_character, whole_characters
from contracts.errors import ConfigError

AUTO = "auto"
FOREIGN_BYTES = 16  # so much text in UTF-8 within a line of UTF-16 is a line in UTF-8

_WIDE_BOMS = (  # the longer one first: that of UTF-32-LE begins with that of UTF-16-LE
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF8 = ("utf-8", "utf_8_sig", "utf-8-sig", "ascii")
_CONTROLS = frozenset({*range(0x20), 0x7F} - {9, 10, 13, 27})


@dataclass(frozen=True)
class Encoding:
    """One encoding. `newline`: its newline; `bom`: bytes that are no text if a file begins with them."""

    name: str
    newline: bytes
    bom: bytes

    @property
    def is_utf8(self) -> bool:
        return self.name == "utf-8"

    def utf8(self, data: bytes, at_start: bool) -> bytes:
        """`data` in UTF-8: whole lines without the last newline, or a piece of a line. Bytes that are no text of a
        single-byte or multi-byte encoding become U+FFFD; UTF-8 stays as it is. `at_start`: of the file."""
        if at_start and self.bom and data.startswith(self.bom):
            data = data[len(self.bom) :]
        if self.is_utf8:
            return data
        try:
            text = data.decode(self.name)
        except UnicodeError:
            text = ""
        newlines = data.count(self.newline)
        if text.count("\n") != newlines or (len(self.newline) > 1 and data.count(b"\n") != newlines):
            text = "\n".join(self._line(line) for line in data.split(self.newline))
        return text.encode(errors="replace")

    def whole(self, data: bytes, limit: int) -> int:
        """The largest cut <= `limit` (and > 0) that splits no character."""
        if self.is_utf8:
            return whole_characters(data, limit)
        return self.begun(data[:limit]) or limit

    def begun(self, data: bytes) -> int:
        """Start of an incomplete character at the end of `data`; len(data) if the last character is complete."""
        if self.is_utf8:
            return begun_character(data)
        decoder = codecs.getincrementaldecoder(self.name)(errors="replace")
        decoder.decode(data)
        return len(data) - len(decoder.getstate()[0])

    def foreign(self, data: bytes) -> int:
        """Length of complete lines in UTF-8 at the start of `data` where lines of UTF-16 or UTF-32 are expected."""
        if len(self.newline) == 1:
            return 0
        end = data.rfind(b"\n", 0, data.find(b"\0") if b"\0" in data else len(data)) + 1
        try:
            data[:end].decode()
        except UnicodeDecodeError:
            return 0
        return end

    def _line(self, raw: bytes) -> str:
        if len(self.newline) > 1:
            end = self.foreign(raw)
            if end >= FOREIGN_BYTES and not _CONTROLS.intersection(raw[:end]):
                return raw[:end].decode() + raw[end:].decode(self.name, errors="replace")
        return raw.decode(self.name, errors="replace")


UTF8 = Encoding("utf-8", b"\n", codecs.BOM_UTF8)


def checked(name: str) -> str:
    """`name`, if files can be read in that encoding.

    Raises:
        ConfigError: Python does not know the name, or it is no encoding of text lines.
    """
    if name.strip().lower() != AUTO:
        _encoding(name)
    return name


def encoding_of(name: str, begin: bytes) -> Encoding:
    """The encoding of a file whose first bytes (at least 4, if there are so many) are `begin`.

    "auto" is UTF-16 or UTF-32 if the file begins with their byte order mark, else UTF-8. A mark also decides between
    the byte orders of "utf-16" and "utf-32"; without one, these are little-endian unless the first byte is NUL.
    """
    name = name.strip().lower()
    marked = next((found for bom, found in _WIDE_BOMS if begin.startswith(bom)), "")
    if name == AUTO:
        return _encoding(marked) if marked else UTF8
    plain = _lookup(name).name
    if plain in ("utf-16", "utf-32"):
        order = marked if marked.startswith(plain) else f"{plain}-be" if begin[:1] == b"\0" else f"{plain}-le"
        return _encoding(order)
    return _encoding(name)


@functools.lru_cache(maxsize=64)
def _encoding(name: str) -> Encoding:
    found = _lookup(name).name
    if found in _UTF8:
        return UTF8
    if found in ("utf-16", "utf-32"):
        found += "-le"
    try:
        newline = "\n".encode(found)
        whole = "A\n".encode(found) == "A".encode(found) + newline and len("A".encode(found)) == len(newline)
        codecs.getincrementaldecoder(found)("replace").decode(newline)
    except (UnicodeError, LookupError, ValueError):
        whole, newline = False, b"\n"
    if not whole or len(newline) not in (1, 2, 4):
        raise ConfigError(f'encoding "{name}" is none of text lines', hint=_HINT)
    return Encoding(found, newline, "\ufeff".encode(found) if found.startswith(("utf", "gb18030")) else b"")


def _lookup(name: str) -> codecs.CodecInfo:
    try:
        found = codecs.lookup(name)
        "".encode(name)  # raises LookupError for a codec that is none of text
        return found
    except (LookupError, ValueError, UnicodeError) as error:
        raise ConfigError(f'encoding "{name}" is not known', hint=_HINT) from error


_HINT = "use auto, or a name that Python knows, such as utf-16, latin-1, windows-1252, gbk or shift_jis"
