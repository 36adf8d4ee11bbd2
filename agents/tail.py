"""Tail: globs of log files -> records, with the position of every file after them.

A file is known by (device, inode), so a renamed file goes on under its new name and is read to its end. A file that
left the globs or was deleted stays open until it has given nothing for a while. What happened while the agent was
away is found by looking for known inodes beside the path where they were last seen.

Not handled: a file that appears and is renamed out of the globs between two looks (`agent_poll_s`), and bytes that
are truncated away before they were read, unless a copy of them is named by the globs (copytruncate).
"""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agents.follow import Follower, Taken
from agents.journal import Journal
from agents.lines import Limits, LineEncoder, Origin
from agents.positions import GUARD_BYTES, HEAD_BYTES, Position, begins_like, holds, key_of

LEAVE_S = 30.0  # how long a file that left the globs is held open after it gave something last
COPY_S = 2.0  # how long a copy (copytruncate) may rest before it counts as a file of its own
PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip", ".lz4")


class Tail:
    """Every file named by `patterns`. Not thread-safe.

    `known` are the positions by file that earlier runs left; `origin` is what all records share.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        origin: Origin,
        limits: Limits,
        hold_s: float,
        known: Mapping[str, Position],
        journal: Journal,
    ) -> None:
        self._patterns = [str(Path(pattern).expanduser().absolute()) for pattern in patterns]
        self._origin = origin
        self._limits = limits
        self._hold_s = hold_s
        self._known = dict(known)
        self._journal = journal
        self._followers: dict[str, Follower] = {}
        self._forgotten: set[str] = set()
        self._looked_for_moved = False

    def look(self, now_s: float) -> None:
        """Find new, renamed and removed files."""
        listed = self._listed()
        if not listed and self._patterns:
            self._journal.once("warning", "globs", "no file matches yet", patterns=self._patterns)
        for key, paths in listed.items():
            follower = self._followers.get(key) or self._open(paths[0])
            if follower is None:
                continue
            follower.listed_s = now_s
            if follower.position.path not in paths:
                follower.position = follower.position.renamed(paths[0])
        if not self._looked_for_moved:
            self._looked_for_moved = True
            self._open_moved(set(listed), now_s)
        self._leave(now_s)

    def takes(self, now_s: float, observed_ns: int) -> Iterator[tuple[Follower, Taken]]:
        """One read of every file that has something; files in turn, so that none starves."""
        for key, follower in list(self._followers.items()):
            try:
                taken = follower.take(now_s, observed_ns)
            except OSError as error:
                self._journal.once("error", key, "cannot read, will retry", path=follower.position.path, error=error)
                continue
            if follower.was_replaced:
                follower.was_replaced = False
                self._journal.info(
                    "file was truncated or replaced, reading from its start",
                    path=follower.position.path,
                    generation=follower.position.generation,
                )
            if taken:
                self._followers[key] = self._followers.pop(key)  # to the end of the turn
                follower.listed_s = max(follower.listed_s, now_s)
                yield follower, taken

    def forgotten(self) -> dict[str, Position | None]:
        """Files that are gone for good since the last call, to be stored with the next frame."""
        gone: dict[str, Position | None] = dict.fromkeys(self._forgotten)
        self._forgotten.clear()
        return gone

    def at_end(self) -> bool:
        return all(follower.at_end() for follower in self._followers.values())

    def behind_bytes(self) -> int:
        return sum(follower.behind_bytes() for follower in self._followers.values())

    def __len__(self) -> int:
        return len(self._followers)

    def close(self) -> None:
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()

    def _listed(self) -> dict[str, list[str]]:
        """Paths by file; several when links name the same file."""
        listed: dict[str, list[str]] = {}
        for path in sorted({path for pattern in self._patterns for path in _matches(pattern)}):
            try:
                status = os.stat(path)  # noqa: PTH116 - in the innermost loop; glob gives text
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    self._journal.once("warning", path, "cannot look at file, will retry", path=path, error=error)
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            if path.endswith(PACKED):
                self._journal.once("info", path, "compressed file left alone", path=path)
                continue
            listed.setdefault(key_of(status), []).append(path)
        return listed

    def _open(self, path: str) -> Follower | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._journal.once("warning", path, "cannot open file, will retry", path=path, error=error)
            return None
        status = os.fstat(fd)
        key = key_of(status)
        if key in self._followers:  # renamed between the look and the opening
            os.close(fd)
            return self._followers[key]
        if key not in self._known and self._being_copied(fd, path, status):
            os.close(fd)
            return None
        position = self._known.pop(key, None) or self._copied(fd, path, status) or _start(path, status)
        follower = self._follow(fd, path, position)
        self._followers[key] = follower
        self._journal.info("reading file", path=path, offset=follower.position.offset)
        return follower

    def _follow(self, fd: int, path: str, position: Position) -> Follower:
        attributes = {**self._origin.attributes, "log.file.name": Path(path).name, "log.file.path": path}
        origin = Origin(self._origin.service, self._origin.env, self._origin.host, attributes)
        follower = Follower(fd, position, LineEncoder(origin, self._limits), self._limits, self._hold_s)
        follower.verify()
        return follower

    def _copied(self, fd: int, path: str, status: os.stat_result) -> Position | None:
        """Where to begin in a file that is a rotated copy of one already read (copytruncate): behind what was read."""
        for place in self._beside(path):
            whole = place.mark if place.mark.head_bytes >= HEAD_BYTES else None
            truncated = place.before if place.before and place.before.offset >= GUARD_BYTES else None
            for mark in (whole, truncated):
                if mark and holds(fd, mark, status.st_size):
                    return Position(path, status.st_dev, status.st_ino, mark=mark)
        return None

    def _being_copied(self, fd: int, path: str, status: os.stat_result) -> bool:
        """Whether the file looks like a copy (copytruncate) that is not yet as long as what was read."""
        return time.time() - status.st_mtime < COPY_S and any(
            place.mark.head_bytes >= HEAD_BYTES
            and status.st_size < place.offset
            and begins_like(fd, place.mark, status.st_size)
            for place in self._beside(path)
        )

    def _beside(self, path: str) -> list[Position]:
        """Files whose name this path continues, as in "app.log" and "app.log.1"."""
        found = [place for place in self._known.values() if path != place.path and path.startswith(place.path)]
        for follower in self._followers.values():
            if path != follower.position.path and path.startswith(follower.position.path):
                follower.verify()
                found.append(follower.position)
        return found

    def _open_moved(self, listed: set[str], now_s: float) -> None:
        """Files of these globs that were renamed while the agent was away: found by inode in their old folder."""
        ours = {key: place for key, place in self._known.items() if key not in listed and self._names(place.path)}
        for folder in {str(Path(place.path).parent) for place in ours.values()}:
            try:
                inodes = {f"{entry.stat().st_dev}:{entry.inode()}": entry.path for entry in os.scandir(folder)}
            except OSError:
                continue
            for key in ours.keys() & inodes.keys():
                follower = self._open(inodes[key])
                if follower:
                    follower.position = follower.position.renamed(ours[key].path)
                    follower.listed_s = now_s

    def _names(self, path: str) -> bool:
        return any(fnmatch.fnmatch(path, pattern) for pattern in self._patterns)

    def _leave(self, now_s: float) -> None:
        for key, follower in list(self._followers.items()):
            if now_s - follower.listed_s < LEAVE_S or not follower.at_end():
                continue
            if follower.deleted():
                self._forgotten.add(key)
            else:
                self._known[key] = follower.position
            follower.close()
            del self._followers[key]


def _start(path: str, status: os.stat_result) -> Position:
    return Position(path, status.st_dev, status.st_ino)


def _matches(pattern: str) -> list[str]:
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 - takes absolute patterns, which Path.glob does not
