"""Positions: an open file -> the read position in it, valid after rotation, truncation and inode reuse.

A file is (device, inode, generation). Two fingerprints show whether an inode still holds the bytes that were read: the
*head* (hash of the first bytes) and the *guard* (checksum of the bytes just before the offset). If one differs, or the
file is shorter than the offset, the file is a new generation, and the agent reads it from its start.
"""

from __future__ import annotations

import hashlib
import os
import zlib

import msgspec

from agents.between import Between

HEAD_BYTES = 1024
GUARD_BYTES = 64


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

    @property
    def key(self) -> str:
        return f"{self.device}:{self.inode}"

    @property
    def offset(self) -> int:
        return self.mark.offset

    def replaced(self) -> Position:
        """The start of the next generation at the same inode."""
        return Position(self.path, self.device, self.inode, self.generation + 1, before=self.mark)

    def renamed(self, path: str) -> Position:
        return msgspec.structs.replace(self, path=path)


def key_of(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Up to `size` bytes at `offset`; fewer only at the end of the file."""
    return os.pread(fd, size, offset)


def _head(fd: int, size: int) -> str:
    return hashlib.blake2b(read_at(fd, size, 0), digest_size=8).hexdigest()


def guard_of(data: bytes) -> int:
    """Checksum of the last bytes of `data`."""
    return zlib.crc32(data[-GUARD_BYTES:])


def advanced(fd: int, mark: Mark, consumed: int, guard: int) -> Mark:
    """The mark after `consumed` further bytes; computes the head again until it covers `HEAD_BYTES`."""
    offset = mark.offset + consumed
    if mark.head_bytes >= HEAD_BYTES:
        return Mark(offset, mark.head, mark.head_bytes, guard)
    size = min(HEAD_BYTES, offset)
    return Mark(offset, _head(fd, size), size, guard)


def mark_at(fd: int, offset: int) -> Mark:
    """The mark of the first `offset` bytes, which the file must hold."""
    guard = min(GUARD_BYTES, offset)
    return advanced(fd, Mark(), offset, guard_of(read_at(fd, guard, offset - guard)))


def last_line(fd: int, position: Position, most_bytes: int) -> Position:
    """`position` moved to the end of the last complete line; to the end if that is more than `most_bytes` away."""
    size = os.fstat(fd).st_size
    begin = max(0, size - most_bytes)
    data = read_at(fd, size - begin, begin)
    offset = begin + data.rfind(b"\n") + 1
    return msgspec.structs.replace(position, mark=mark_at(fd, size if offset == begin and begin else offset))


def holds(fd: int, mark: Mark, size: int) -> bool:
    """True if the file of `size` bytes still begins with the bytes read up to `mark`."""
    if size < mark.offset:
        return False
    if mark.offset == 0:
        return True
    guard = min(GUARD_BYTES, mark.offset)
    return _head(fd, mark.head_bytes) == mark.head and guard_of(read_at(fd, guard, mark.offset - guard)) == mark.guard


def begins_like(fd: int, mark: Mark, size: int) -> bool:
    """True if the file of `size` bytes has the head of `mark`."""
    return size >= mark.head_bytes and _head(fd, mark.head_bytes) == mark.head
