"""Rotations: compressed files, and files beside a log -> which of them are read, and from where.

A compressed file is read if it goes on where the reading of a file stopped that is not there any more: the log was
rotated and compressed while the agent was away. A compressed file that continues nothing is read whole if it is younger
than a file of the same folder and log that the agent knows: it was written and compressed while the agent was away. Any
other compressed file is read only if a pattern names it (`*.gz`), once and whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from agents.copies import Copies, is_rotated_name
from agents.packed import NOT_READ, SUFFIXES, PackedFile, without_suffix
from agents.positions import Mark
from agents.sources import PlainFile, key_of

MOST_PASSED = 20_000  # files that are not read, and are remembered: others are looked into again
SETTLE_NS = 500_000_000  # a compressed file that changed within this time may not be complete

_ROTATION = re.compile(r"(?<=.)(?:[\W_]+(?:\d+(?:[Tt]\d+)?[Zz]?|old|bak|backup|prev|orig))+(?![^\W_])")


class Rotations:
    """Not thread-safe."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._named: set[str] = set()  # files that a pattern of compressed files matches
        self._beside: set[str] = set()  # files that no pattern matches: read only as the rest of a log
        self._passed: dict[str, tuple[str, int, int]] = {}  # path, time and size of files that are not read
        self._oldest_ns: dict[str, int] = {}  # folder and log -> time of the oldest file that the agent knows

    def listed(self, key: str, patterns: Collection[str]) -> None:
        if any(pattern.endswith(SUFFIXES) for pattern in patterns):
            self._named.add(key)

    def knows(self, path: str, time_ns: int) -> None:
        """Note that the agent has read of the file, which was written last at `time_ns`."""
        log = log_of(path)
        self._oldest_ns[log] = min(self._oldest_ns.get(log, time_ns), time_ns)

    def is_beside(self, key: str) -> bool:
        return key in self._beside

    def begin(self, file: PlainFile, kind: str) -> Mark | None:
        """Where to begin in the text of a compressed file; None if it is not read."""
        if kind == NOT_READ:
            return None
        path, text = without_suffix(file.path), PackedFile(file, kind)
        original = self._copies.continued(text, path)
        if original is None:
            return Mark() if file.key in self._named or self._is_later(path, file.status().st_mtime_ns) else None
        self.knows(path, file.status().st_mtime_ns)
        return None if original.follower else original.position.mark  # a follower reads the same lines

    def pass_over(self, file: PlainFile) -> None:
        status = file.status()
        self._passed[file.key] = (file.path, status.st_mtime_ns, status.st_size)
        while len(self._passed) > MOST_PASSED:
            del self._passed[next(iter(self._passed))]

    def is_passed(self, key: str, status: os.stat_result) -> bool:
        """True if it was decided that the file is not read, and it did not change since."""
        passed = self._passed.get(key)
        return passed is not None and passed[1:] == (status.st_mtime_ns, status.st_size)

    def later(self) -> list[str]:
        """Paths of files that were passed over before an older file of the same log became known."""
        later = [
            key for key, (path, time_ns, _) in self._passed.items() if self._is_later(without_suffix(path), time_ns)
        ]
        return [self._passed.pop(key)[0] for key in later]

    def beside(self, logs: Iterable[str], followed: Collection[str], matches: Callable[[str], bool]) -> Iterator[str]:
        """Paths in the folders of `logs` whose names are those of a log with a date, a number or an ending.

        Without the files that are followed, and without paths that a pattern `matches`: a look finds those.
        """
        folders: dict[str, set[str]] = {}
        for log in logs:
            folders.setdefault(str(Path(log).parent), set()).add(log)
        for folder, names in folders.items():
            for path, status in _files(folder):
                key = key_of(status)
                if key in followed or path in names or self.is_passed(key, status):
                    continue
                if any(is_rotated_name(without_suffix(path), log) for log in names) and not matches(path):
                    self._beside.add(key)
                    yield path

    def _is_later(self, path: str, time_ns: int) -> bool:
        return time_ns > self._oldest_ns.get(log_of(path), time_ns)


def log_of(path: str) -> str:
    """The path without the dates, numbers and endings of a rotation: files of one log in one folder share it."""
    folder, _, name = without_suffix(path).rpartition("/")
    return f"{folder}/{_ROTATION.sub('', name)}"


def _files(folder: str) -> list[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.path, entry.stat()) for entry in entries if entry.is_file())
    except OSError:
        return []
