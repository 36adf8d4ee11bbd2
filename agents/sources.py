"""Sources: files that are read at offsets, with at most so many descriptors open at a time.

`OpenFiles` closes the file that was read longest ago when the descriptors run out, so the buffer and the network keep
theirs. A closed file is opened again by its path; if another file stands there (it was renamed meanwhile), the file is
searched by its inode in the same folder. Files that left the patterns are closed last, and deleted ones never: their
bytes could not be reached again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

RESERVED = 64  # descriptors that stay free for the buffer, the network and the interpreter
FEWEST = 8


class Source(Protocol):
    """Bytes that are read at offsets. All methods may raise OSError; FileNotFoundError means that the file is gone."""

    def size(self) -> int: ...

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end."""
        ...

    def next_data(self, offset: int) -> int:
        """The first offset at or after `offset` that is no hole of the file system; the end if there is none."""
        ...

    def status(self) -> os.stat_result: ...

    def deleted(self) -> bool: ...

    def close(self) -> None: ...


class OpenFiles:
    """The descriptors of all tailed files of this process. Not thread-safe."""

    def __init__(self, most: int) -> None:
        self.most = max(most, FEWEST)
        self._open: dict[PlainFile, int] = {}  # the file that was read longest ago comes first

    def __len__(self) -> int:
        return len(self._open)

    def descriptor(self, file: PlainFile) -> int:
        """The descriptor of `file`, which is opened if it is closed."""
        descriptor = self._open.pop(file, -1)
        if descriptor < 0:
            descriptor = self._opened(file)
        self._open[file] = descriptor
        return descriptor

    def peek(self, file: PlainFile) -> int:
        """The descriptor of `file`, or -1 if it is closed."""
        return self._open.get(file, -1)

    def adopt(self, file: PlainFile, descriptor: int) -> None:
        self._shrink()
        self._open[file] = descriptor

    def close(self, file: PlainFile) -> None:
        descriptor = self._open.pop(file, -1)
        if descriptor >= 0:
            os.close(descriptor)

    def open(self, path: str) -> int:
        """A new descriptor of `path`, for which another file is closed if need be."""
        self._shrink()
        while True:
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._close_one():
                    raise

    def _opened(self, file: PlainFile) -> int:
        for path in file.places():
            try:
                descriptor = self.open(path)
            except FileNotFoundError:
                continue
            if key_of(os.fstat(descriptor)) == file.key:
                file.path = path
                return descriptor
            os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "the file is gone", file.path)

    def _shrink(self) -> None:
        while len(self._open) >= self.most and self._close_one():
            pass

    def _close_one(self) -> bool:
        """Close the listed file that was read longest ago, else one that left the patterns; False if none may be."""
        files = [file for file in self._open if not file.left] + [file for file in self._open if file.left]
        for file in files:
            status = file.status()
            if file not in self._open:
                return True
            if status.st_nlink:
                file.seen = status
                self.close(file)
                return True
        return False


class PlainFile:
    """A file that is opened when it is read, and that may be closed between two reads.

    Attributes:
        path: Where the file was seen last.
        seen: Its status at that time; stands for its status while it is closed.
        left: True if no pattern matches the file any more.
    """

    def __init__(self, files: OpenFiles, path: str, descriptor: int) -> None:
        self.path = path
        self.seen = os.fstat(descriptor)
        self.key = key_of(self.seen)
        self.left = False
        self._files = files
        files.adopt(self, descriptor)

    def size(self) -> int:
        return self.status().st_size

    def read_at(self, size: int, offset: int) -> bytes:
        return os.pread(self._files.descriptor(self), size, offset)

    def next_data(self, offset: int) -> int:
        try:
            return os.lseek(self._files.descriptor(self), offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return max(offset, self.size())
            return offset  # the file system knows no holes

    def status(self) -> os.stat_result:
        descriptor = self._files.peek(self)
        if descriptor < 0:
            return self.seen
        try:
            return os.fstat(descriptor)
        except OSError:  # such as ESTALE of NFS: the next read opens the file again, and tells what is wrong
            self.close()
            return self.seen

    def deleted(self) -> bool:
        return self.status().st_nlink == 0

    def close(self) -> None:
        self._files.close(self)

    def is_open(self) -> bool:
        return self._files.peek(self) >= 0

    def listed(self, path: str, status: os.stat_result) -> None:
        """Note that a pattern matches the file now, at `path`."""
        self.path, self.seen, self.left = path, status, False

    def look(self) -> bool:
        """Note that no pattern matches the file; False if it is closed and cannot be found."""
        self.left = True
        if self.is_open():
            return True
        for path in self.places():
            try:
                status = os.stat(path)  # noqa: PTH116 - the path is text, as everywhere in the agent
            except OSError:
                continue
            if key_of(status) == self.key:
                self.path, self.seen = path, status
                return True
        return False

    def places(self) -> Iterator[str]:
        """Paths at which the file may be: its last one, then those in the same folder that have its inode."""
        yield self.path
        yield from paths_of({self.key}, str(Path(self.path).parent)).values()


def key_of(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def readable(path: str) -> str:
    """The path as text that can be encoded: bytes that are no UTF-8, which a path may hold, become like \\xe4."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")


def paths_of(keys: set[str], folder: str) -> dict[str, str]:
    """Paths in `folder` of the files `keys`, as far as they are there."""
    inodes = {int(key.rpartition(":")[2]) for key in keys}
    try:
        with os.scandir(folder) as entries:
            near = [entry for entry in entries if entry.inode() in inodes]
            found = {key_of(entry.stat()): entry.path for entry in near if not entry.is_dir()}
    except OSError:
        return {}
    return {key: path for key, path in found.items() if key in keys}
