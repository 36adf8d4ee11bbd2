"""Packed: a compressed file (gzip, zstd, bzip2, xz) -> its text, read at offsets in bounded memory.

A file is known as compressed by its first bytes, not by its name. Text is unpacked as it is asked for, in order; a
window of about one read is kept. Asking for text before the window unpacks the file again from its start.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from typing import Protocol

import zstandard

from agents.sources import PlainFile

HEAD_BYTES = 1024  # of the text, kept: they are asked for again and again
STEP_BYTES = 256 << 10
MEMORY_BYTES = 256 << 20  # most memory of one decompressor; `xz -9` needs 65 MiB, `zstd --long` 128
MAGIC_BYTES = 8
NOT_READ = "other"  # compressed, in a format that is not unpacked
SUFFIXES = (".gz", ".zst", ".bz2", ".xz", ".tgz", ".zip", ".lz4", ".Z", ".7z")

_KINDS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": NOT_READ,
    b"\x04\x22\x4d\x18": NOT_READ,
    b"\x1f\x9d": NOT_READ,
    b"7z\xbc\xaf\x27\x1c": NOT_READ,
}
_BZ2_BLOCKS = (b"1AY&S", b"\x17rE8P")  # after "BZh" and a digit: a block, or the end of an empty file
_DAMAGES = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError, MemoryError)


def kind_of(begin: bytes) -> str:
    """The compression of a file that begins with `begin` (8 bytes, if there are so many); "" if there is none."""
    kind = next((kind for magic, kind in _KINDS.items() if begin.startswith(magic)), "")
    if kind == "bz2" and not (begin[3:4].isdigit() and _BZ2_BLOCKS[0].startswith(begin[4:9] or b"?")):
        return "bz2" if begin[4:8] == _BZ2_BLOCKS[1][:4] else ""
    return kind


def without_suffix(path: str) -> str:
    """The path without the ending that a compressor gave it."""
    return next((path.removesuffix(suffix) for suffix in SUFFIXES if path.endswith(suffix)), path)


class PackedFile:
    """A `Source` of the text of `file`, which is unpacked past `offset` at once.

    Attributes:
        damage: Why the text ends before the file does; "" if it does not.
    """

    def __init__(self, file: PlainFile, kind: str, offset: int = 0) -> None:
        self.file = file
        self.kind = kind
        self.damage = ""
        self._head = b""
        self._window = b""
        self._begin = 0
        self._ended = False
        self._stream = _stream(file, kind)
        self.read_at(1, offset)

    def size(self) -> int:
        """The length of the text as far as it is unpacked: past the end of the last read, unless the text ends."""
        return self._begin + len(self._window)

    def ended(self) -> bool:
        """True if all of the text is unpacked."""
        return self._ended

    def read_at(self, size: int, offset: int) -> bytes:
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        if offset < self._begin:
            self._restart()
        if offset + size >= self.size():
            self._unpack(offset + size + 1, keep_from=offset)
        return self._window[max(0, offset - self._begin) : max(0, offset + size - self._begin)]

    def next_data(self, offset: int) -> int:
        return offset

    def status(self) -> os.stat_result:
        return self.file.status()

    def deleted(self) -> bool:
        return self.file.deleted()

    def close(self) -> None:
        self.file.close()

    def _restart(self) -> None:
        self._window, self._begin, self._ended = b"", 0, False
        self._stream = _stream(self.file, self.kind)

    def _unpack(self, to: int, keep_from: int) -> None:
        """Unpack the text up to `to`; forget what stands before `keep_from`."""
        self._forget(keep_from)
        while self.size() < to and not self._ended:
            try:
                data = self._stream.read1(STEP_BYTES)
            except _DAMAGES as error:
                data, self.damage = b"", str(error) or type(error).__name__
            self._ended = not data
            if len(self._head) < HEAD_BYTES and self.size() == len(self._head):
                self._head += data[: HEAD_BYTES - len(self._head)]
            self._window += data
            self._forget(keep_from)

    def _forget(self, keep_from: int) -> None:
        gone = min(max(0, keep_from - self._begin), len(self._window))
        self._window, self._begin = self._window[gone:], self._begin + gone


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _Raw(io.RawIOBase):
    """The bytes of `file` from its start. The file may be closed and opened again between two reads."""

    def __init__(self, file: PlainFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # called with a buffer of bytes only
        data = self._file.read_at(len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Xz:
    """xz with a limit of memory, which `lzma.open` does not take. A file may consist of several streams."""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MEMORY_BYTES)

    def read1(self, size: int) -> bytes:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\0") or (self._raw.read(STEP_BYTES) or b"").lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MEMORY_BYTES)
            else:
                rest = (self._raw.read(STEP_BYTES) or b"") if self._decoder.needs_input else b""
                if not rest and self._decoder.needs_input:
                    raise EOFError("the file ends before its stream does")
            if data := self._decoder.decompress(rest, size):
                return data


class _Zstd:
    def __init__(self, raw: _Raw) -> None:
        decoder = zstandard.ZstdDecompressor(max_window_size=MEMORY_BYTES)
        self._reader = decoder.stream_reader(raw, read_across_frames=True)  # type: ignore[arg-type]  # it only reads

    def read1(self, size: int) -> bytes:
        return self._reader.read(size)


def _stream(file: PlainFile, kind: str) -> _Stream:
    raw = _Raw(file)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if kind == "bz2":
        return bz2.BZ2File(raw)
    return _Xz(raw) if kind == "xz" else _Zstd(raw)
