"""Positions: an open file -> the read position in it, valid after rotation, truncation and inode reuse.

A file is (device, inode, generation). Two fingerprints show whether an inode still holds the bytes that were read: the
*head* (hash of the first bytes) and the *guard* (checksum of the bytes just before the offset). If one differs, or the
file is shorter than the offset, the file is a new generation, and the agent reads it from its start.
"""

from __future__ import annotations

import hashlib
import zlib

import msgspec

from agents.between import Between
from agents.sources import Source

HEAD_BYTES = 1024
GUARD_BYTES = 64
EARLIER = 4


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """End of the bytes that were read, and their two fingerprints.

    Attributes:
        offset: Bytes read, from the start of the file.
        head: Hash of the first `head_bytes` bytes (at most 1024, at most `offset`).
        guard: CRC-32 of the last min(64, offset) bytes before `offset`.
    """

    offset: int = 0
    head: str = ""
    head_bytes: int = 0
    guard: int = 0


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """The read position in one file.

    Attributes:
        path: Last known path of the file.
        generation: +1 whenever the bytes at this inode were replaced.
        part: Pieces of the current line that were sent already; 0 at the start of a line.
        cursor: Of the last entry that was read, if this is no file but the journal of systemd.
        before: The mark of the previous generation, which identifies a copy of it (copytruncate).
        between: What the records before the offset mean for the next one.
        earlier: Marks of up to 4 generations before that one, the latest first: a compressed copy may be found late.
        packed: Compression of the file ("gzip", "zstd", "bz2", "xz"), whose text the offset counts; "" if none.
        packed_bytes: Size of the compressed file whose text is read to its end; 0 before that.
        before_ns: Latest time at which that generation ended, epoch nanoseconds of the file system; 0 if unknown.
    """

    path: str
    device: int
    inode: int
    generation: int = 0
    mark: Mark = Mark()
    part: int = 0
    before: Mark | None = None
    cursor: str = ""
    between: Between = Between()
    before_ns: int = 0
    earlier: tuple[Mark, ...] = ()
    packed: str = ""
    packed_bytes: int = 0

    @property
    def key(self) -> str:
        return f"{self.device}:{self.inode}"

    @property
    def offset(self) -> int:
        return self.mark.offset

    def replaced(self, before_ns: int) -> Position:
        """The start of the next generation at the same inode. An unread generation in between identifies nothing."""
        known = tuple(mark for mark in (self.mark, self.before, *self.earlier) if mark and mark.offset)
        return Position(
            self.path,
            self.device,
            self.inode,
            self.generation + 1,
            before=known[0] if known else None,
            before_ns=before_ns if self.offset else self.before_ns,
            earlier=known[1 : EARLIER + 1],
        )

    def copied(self, mark: Mark) -> Position:
        """The place in this file, a copy of a file that was read up to `mark`."""
        return msgspec.structs.replace(self, mark=mark)

    def unpacked(self, mark: Mark, kind: str) -> Position:
        """The place in the text of this file, which is compressed."""
        return msgspec.structs.replace(self, mark=mark, packed=kind)

    def finished(self, packed_bytes: int) -> Position:
        return msgspec.structs.replace(self, packed_bytes=packed_bytes)

    def renamed(self, path: str) -> Position:
        return self if path == self.path else msgspec.structs.replace(self, path=path)


def head_of(data: bytes) -> str:
    """Hash of the first bytes of a file."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def guard_of(data: bytes) -> int:
    """Checksum of the last bytes of `data`."""
    return zlib.crc32(data[-GUARD_BYTES:])


def advanced(source: Source, mark: Mark, consumed: int, guard: int) -> Mark:
    """The mark after `consumed` further bytes; computes the head again until it covers `HEAD_BYTES`."""
    offset = mark.offset + consumed
    if mark.head_bytes >= HEAD_BYTES:
        return Mark(offset, mark.head, mark.head_bytes, guard)
    size = min(HEAD_BYTES, offset)
    return Mark(offset, head_of(source.read_at(size, 0)), size, guard)


def mark_at(source: Source, offset: int) -> Mark:
    """The mark of the first `offset` bytes, which the source must hold."""
    guard = min(GUARD_BYTES, offset)
    return advanced(source, Mark(), offset, guard_of(source.read_at(guard, offset - guard)))


def last_line(source: Source, position: Position, most_bytes: int, newline: bytes) -> Position:
    """`position` moved to the end of the last complete line; to the end if that is more than `most_bytes` away."""
    size = source.size()
    begin = max(0, size - most_bytes)
    data = source.read_at(size - begin, begin)
    found = data.rfind(newline)
    offset = begin + found + len(newline) if found >= 0 else size if begin else 0
    return msgspec.structs.replace(position, mark=mark_at(source, offset))


def holds(source: Source, mark: Mark) -> bool:
    """True if the source begins with the bytes that were read up to `mark`."""
    if mark.offset == 0:
        return True
    guard = min(GUARD_BYTES, mark.offset)
    if head_of(source.read_at(mark.head_bytes, 0)) != mark.head:
        return False
    before = source.read_at(guard, mark.offset - guard)
    return len(before) == guard and guard_of(before) == mark.guard
