"""Segments: the files of a buffer -> their frames, recovered after a crash or damage.

An incomplete frame at the end of a segment was never synced: recovery cuts it off, and the agent reads its lines again.
Any other stretch that is no frame is damage: recovery sets a copy of the segment aside and keeps its intact frames. The
caller then starts a new epoch, because the damaged stretch may have used sequence numbers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.frames import HEADER_BYTES, Frame, Note, body_bytes, decode_body, scan
from agents.journal import Journal
from contracts.files import replace_file, sync_folder

SUFFIX = ".segment"


@dataclass(slots=True)
class Segment:
    """`size` bytes of frames are synced; `end` is (epoch, sequence) after the last of them."""

    path: Path
    size: int = 0
    end: tuple[int, int] = (0, 0)


def new_segment(folder: Path, epoch: int, sequence: int) -> tuple[Path, int]:
    """Create an empty segment file; return its path and descriptor. Names sort in order of writing."""
    for turn in range(10_000):  # a segment without records shares its first sequence number with the next
        path = folder / f"{epoch:06d}-{sequence:016d}-{turn:04d}{SUFFIX}"
        with contextlib.suppress(FileExistsError):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                sync_folder(folder)
            except OSError:
                os.close(fd)
                path.unlink(missing_ok=True)
                raise
            return path, fd
    raise OSError(f'too many segments begin at "{epoch}-{sequence}" in "{folder}"')


def recover(folder: Path, journal: Journal, each: Callable[[Note], None]) -> tuple[list[Segment], bool]:
    """All segments, oldest first, and True if one was damaged. Calls `each` with the notes of all frames in order."""
    segments: list[Segment] = []
    damaged = False
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        data = path.read_bytes()
        found = list(scan(data))
        intact = [frame for frame in found if frame.note]
        if any(not stretch.note and not stretch.torn for stretch in found):
            damaged = True
            _set_aside(path, data, b"".join(data[frame.begin : frame.end] for frame in intact), journal)
        elif found and found[-1].torn:
            journal.info("an incomplete frame that was never synced is cut off", segment=path.name)
            _shorten(path, found[-1].begin)
        if not intact:
            path.unlink()
            continue
        notes = [frame.note for frame in intact if frame.note]
        for note in notes:
            each(note)
        segments.append(Segment(path, sum(frame.end - frame.begin for frame in intact), notes[-1].end))
    return segments, damaged


def _set_aside(path: Path, data: bytes, intact: bytes, journal: Journal) -> None:
    aside = path.with_suffix(f".{time.time_ns()}.damaged")
    replace_file(aside, data)
    replace_file(path, intact)
    journal.error("buffer segment is damaged: a copy is set aside, intact frames stay", segment=path.name, aside=aside)


def _shorten(path: Path, size: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


class Cursor:
    """Reads the frames of one segment in order, as far as they are synced."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._place = 0

    def next(self, size: int) -> Frame | None:
        """The next frame that ends within the first `size` bytes, or None.

        Raises:
            OSError: The file cannot be read, or its bytes have changed since they were written.
        """
        if self._place >= size:
            return None
        length = body_bytes(os.pread(self._fd, HEADER_BYTES, self._place))
        body = os.pread(self._fd, length, self._place + HEADER_BYTES) if length >= 0 else b""
        if length < 0 or len(body) < length:
            raise OSError(f'buffer segment "{self.segment.path}" was changed by another process at byte {self._place}')
        frame = decode_body(body)
        self._place += HEADER_BYTES + length
        return frame

    def close(self) -> None:
        os.close(self._fd)
