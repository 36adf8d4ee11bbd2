"""Tail: globs of log files -> records, with the position of every file after them.

The agent identifies a file by (device, inode), so it reads a renamed file to its end under the new name. A file that
left the globs or was deleted stays open for `LEAVE_S` after its last record. After a restart the agent finds files that
were renamed meanwhile: it looks for known inodes in the folder of their last path.

Not handled: a file that appears and is renamed out of the globs between two polls (`agent_poll_s`); bytes that are
truncated before the agent read them, unless the globs match a copy of them (copytruncate); a file that is deleted, or
moved into another folder, while its descriptor is closed (only with more files than descriptors).

`begin="end"` skips the lines that stand in a file when the agent looks for it for the first time. The positions hold
the patterns that were looked for, so that a file which appears later, also while the agent is stopped, is read whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agents.containers import container_of
from agents.copies import Copies, Original, Verdict
from agents.follow import Follower, Taken
from agents.globs import Globs
from agents.joining import EACH_LINE, Joining
from agents.journal import Journal
from agents.lines import Limits, LineEncoder, Origin
from agents.positions import Mark, Position, last_line
from agents.sources import OpenFiles, PlainFile, key_of, paths_of

LEAVE_S = 30.0  # how long a file that left the globs stays open after its last record
PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip", ".lz4")
UNKNOWN_SERVICE = "unknown_service"  # of a record that no option and no container gives a service
LOOKED = "glob:"  # begins the keys of patterns among the positions


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Which files of the patterns are read, and from where.

    Attributes:
        exclude: Globs of files that are not read.
        begin: "start", or "end": lines that stood in a file when the agent looked for it first are skipped.
    """

    exclude: tuple[str, ...] = ()
    begin: Literal["start", "end"] = "start"


ALL_FILES = FileOptions()


class Tail:
    """All files that match `patterns`. Not thread-safe.

    `known`: positions of earlier runs, by file. `origin`: fields that all records share. `open_files`: descriptors,
    shared by the tails of one process. `copy_wait_s`: seconds that the original of a copy may take to be truncated.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        origin: Origin,
        limits: Limits,
        hold_s: float,
        known: Mapping[str, Position],
        journal: Journal,
        options: FileOptions = ALL_FILES,
        how: Joining = EACH_LINE,
        open_files: OpenFiles | None = None,
        copy_wait_s: float = 10.0,
    ) -> None:
        self._globs = Globs(patterns, options.exclude)
        self._origin = origin
        self._limits = limits
        self._hold_s = hold_s
        self._known = {key: place for key, place in known.items() if not key.startswith(LOOKED)}
        self._skipping = options.begin == "end"
        self._new_patterns = self._not_looked_for(known) if self._skipping else set()
        self._how = how
        self._journal = journal
        self._followers: dict[str, Follower] = {}
        self._files: dict[str, PlainFile] = {}  # of the followers
        self._open_files = OpenFiles(1 << 20) if open_files is None else open_files
        self._copies = Copies(self._originals, copy_wait_s)
        self._changes: dict[str, Position | None] = {}
        self._looked_for_moved = False

    def share(self, other: Tail) -> None:
        """Use the positions that `other` knows: a file may leave its patterns and come into those of this tail."""
        self._known = other._known

    def look(self, now_s: float, others: Set[str] = frozenset()) -> None:
        """Find new, renamed and removed files, but for `others`, which belong to another tail."""
        self._copies.refresh()
        matched = self._globs.paths()
        listed = self._listed(matched)
        if not listed and self._globs.patterns:
            self._journal.once("warning", "globs", "no file matches yet", patterns=self._globs.patterns)
        for key, (status, paths) in listed.items():
            if key in others:
                continue
            skip = bool(self._new_patterns) and matched[paths[0]] <= self._new_patterns
            follower = self._followers.get(key) or self._open(paths[0], skip)
            if follower is None:
                continue
            follower.listed_s = now_s
            if follower.position.path not in paths:
                follower.position = follower.position.renamed(paths[0])
            self._files[follower.position.key].listed(follower.position.path, status)
        if not self._looked_for_moved:
            self._looked_for_moved = True
            self._open_moved(listed.keys() | others, now_s)
            self._note_patterns()
        self._leave(set(listed), now_s)

    def takes(self, now_s: float, observed_ns: int) -> Iterator[tuple[Follower, Taken]]:
        """Read each file once, and give the reads with records; files take turns, so that no file starves."""
        for key, follower in list(self._followers.items()):
            try:
                taken = follower.take(now_s, observed_ns) if self._judged(follower, observed_ns) else None
            except OSError as error:
                path = follower.position.path
                self._journal.once("error", key, "file cannot be read, the agent will retry", path=path, error=error)
                continue
            if follower.was_replaced:
                follower.was_replaced = False
                self._journal.info(
                    "file was truncated or replaced, the agent reads it from its start",
                    path=follower.position.path,
                    generation=follower.position.generation,
                )
            if taken:
                self._followers[key] = self._followers.pop(key)  # to the end of the turn
                follower.listed_s = max(follower.listed_s, now_s)
                yield follower, taken

    def changes(self) -> dict[str, Position | None]:
        """Positions that changed without a record since the last call (None: forgotten); store them at once."""
        changes, self._changes = self._changes, {}
        return changes

    def keys(self) -> Set[str]:
        """The files that are being read."""
        return self._followers.keys()

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

    def _judged(self, follower: Follower, now_ns: int) -> bool:
        """True once the file may be read: it has bytes, and they are known to be its own or those of a copy."""
        if follower.judged:
            return True
        if not follower.source.size():
            return False
        verdict = self._copies.judge(follower.source, follower.position, now_ns)
        if verdict is Verdict.WAIT:
            return False
        follower.judged = True
        if isinstance(verdict, Mark):
            follower.position = follower.position.copied(verdict)
            self._changes[follower.position.key] = follower.position
            path, offset = follower.position.path, follower.position.offset
            self._journal.info("file is a copy, the agent reads its rest", path=path, offset=offset)
        return True

    def _originals(self) -> Iterator[Original]:
        yield from (Original(follower.position, follower) for follower in self._followers.values())
        yield from (Original(position, None) for position in self._known.values())

    def _not_looked_for(self, known: Mapping[str, Position]) -> set[str]:
        """The patterns for which no earlier run has looked. Runs with begin="start" leave only positions of files."""
        new = {pattern for pattern in self._globs.patterns if LOOKED + pattern not in known}
        return {pattern for pattern in new if not any(map(Globs([pattern]).matches, _paths(known)))}

    def _note_patterns(self) -> None:
        if self._skipping:
            self._changes |= {LOOKED + pattern: Position(pattern, 0, 0) for pattern in sorted(self._new_patterns)}
            self._new_patterns = set()

    def _listed(self, matched: Mapping[str, object]) -> dict[str, tuple[os.stat_result, list[str]]]:
        """Status and paths by file; several paths if links lead to the same file."""
        listed: dict[str, tuple[os.stat_result, list[str]]] = {}
        for path in matched:
            try:
                status = os.stat(path)  # noqa: PTH116 - in the innermost loop; glob gives text
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    self._journal.once(
                        "warning", path, "file cannot be checked, the agent will retry", path=path, error=error
                    )
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            if path.endswith(PACKED):
                self._journal.once("info", path, "compressed file is not read", path=path)
                continue
            listed.setdefault(key_of(status), (status, []))[1].append(path)
        return listed

    def _open(self, path: str, skip: bool = False) -> Follower | None:
        try:
            file = PlainFile(self._open_files, path, self._open_files.open(path))
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._journal.once(
                    "warning", path, "file cannot be opened, the agent will retry", path=path, error=error
                )
            return None
        if file.key in self._followers:  # the file was renamed between `stat` and `open`
            file.close()
            return self._followers[file.key]
        position = self._known.pop(file.key, None)
        if position is None:
            position = Position(path, file.seen.st_dev, file.seen.st_ino)
            if skip:
                position = self._changes[file.key] = last_line(file, position, self._limits.line_bytes)
        follower = self._follow(file, path, position)
        self._followers[file.key] = follower
        self._files[file.key] = file
        self._journal.info("reading of a file begins", path=path, offset=follower.position.offset)
        return follower

    def _follow(self, file: PlainFile, path: str, position: Position) -> Follower:
        container = container_of(path)
        names = {"log.file.name": Path(path).name, "log.file.path": path}
        attributes = {**names, **container.attributes, **self._origin.attributes}
        service = self._origin.service or container.service or UNKNOWN_SERVICE
        encoder = LineEncoder(replace(self._origin, service=service, attributes=attributes), self._limits)
        follower = Follower(file, position, encoder, self._limits, self._hold_s, self._how)
        follower.verify()
        return follower

    def _open_moved(self, listed: Set[str], now_s: float) -> None:
        """Open files that were renamed while the agent was stopped: find them by inode in their old folder."""
        ours = {key: place for key, place in self._known.items() if key not in listed}
        ours = {key: place for key, place in ours.items() if self._globs.matches(place.path)}
        for folder in {str(Path(place.path).parent) for place in ours.values()}:
            for key, path in paths_of(set(ours), folder).items():
                if key not in self._followers and (follower := self._open(path)):
                    follower.position = follower.position.renamed(ours[key].path)
                    follower.listed_s = now_s

    def _leave(self, listed: set[str], now_s: float) -> None:
        """Stop following files that no pattern matches any more and whose end is read."""
        for key in self._followers.keys() - listed:
            follower, file = self._followers[key], self._files[key]
            found = file.look()
            if found and (now_s - follower.listed_s < LEAVE_S or not follower.at_end()):
                continue
            if not found and not follower.at_end():
                path, lost = follower.position.path, follower.behind_bytes()
                self._journal.warning("file is gone before its end was read", path=path, lost_bytes=lost)
            if not found or file.deleted():
                self._changes[key] = None
            else:
                self._known[key] = follower.position
            follower.close()
            del self._followers[key], self._files[key]


def _paths(known: Mapping[str, Position]) -> set[str]:
    return {place.path for key, place in known.items() if not key.startswith(LOOKED)}
