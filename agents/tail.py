"""Tail: globs of log files -> records, with the position of every file after them.

The agent identifies a file by (device, inode), so it reads a renamed file to its end under the new name. A file that
left the globs or was deleted stays open for `LEAVE_S` after its last record. After a restart the agent finds files that
were renamed meanwhile: it looks for known inodes in the folder of their last path.

Not handled: a file that appears and is renamed out of the globs between two polls (`agent_poll_s`); bytes that are
truncated before the agent read them, unless the globs match a copy of them (copytruncate) or it stands beside the log;
a file that is deleted, or moved into another folder, while it is closed (only with more files than descriptors).

`begin="end"` skips the lines that stand in a file when the agent looks for it for the first time. The positions hold
the patterns that were looked for, so that a file which appears later, also while the agent is stopped, is read whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agents.containers import container_of
from agents.copies import Copies, Original, Verdict
from agents.encodings import AUTO, checked, encoding_of
from agents.follow import BOM_BYTES, Follower, Taken
from agents.globs import Globs
from agents.joining import EACH_LINE, Joining
from agents.journal import Journal
from agents.lines import Limits, LineEncoder, Origin
from agents.listing import listing
from agents.packed import MAGIC_BYTES, PackedFile, kind_of
from agents.positions import GUARD_BYTES, Mark, Position, last_line
from agents.rotations import SETTLE_NS, Rotations
from agents.sources import OpenFiles, PlainFile, paths_of, readable

LEAVE_S = 30.0  # how long a file that left the globs stays open after its last record
MOST_GONE = 1000  # deleted files whose positions stay known: a compressed copy of one may be found later
UNKNOWN_SERVICE = "unknown_service"  # of a record that no option and no container gives a service
LOOKED = "glob:"  # begins the keys of patterns among the positions


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Which files of the patterns are read, and from where.

    Attributes:
        exclude: Globs of files that are not read.
        begin: "start", or "end": lines that stood in a file when the agent looked for it first are skipped.
        encoding: Python's name of the encoding, or "auto": UTF-8, or UTF-16 or UTF-32 by their byte order marks.

    Raises:
        ConfigError: The encoding is not known.
    """

    exclude: tuple[str, ...] = ()
    begin: Literal["start", "end"] = "start"
    encoding: str = AUTO

    def __post_init__(self) -> None:
        checked(self.encoding)


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
        self._encoding = options.encoding
        self._skipping = options.begin == "end"
        self._new_patterns = self._not_looked_for(known) if self._skipping else set()
        self._how = how
        self._journal = journal
        self._followers: dict[str, Follower] = {}
        self._files: dict[str, PlainFile] = {}  # of the followers
        self._open_files = OpenFiles(1 << 20) if open_files is None else open_files
        self._copies = Copies(self._originals, copy_wait_s)
        self._rotations = Rotations(self._copies)
        self._gone: list[str] = []  # deleted files that are still known, the oldest first
        self._changes: dict[str, Position | None] = {}
        self._looked_for_moved = False
        self._all = [self]  # the tails of the process that share the positions, in the order of their inputs

    def share(self, other: Tail) -> None:
        """Use the positions that `other` knows: a file, or a copy of one, may be in the patterns of another tail."""
        self._known, self._all = other._known, other._all
        self._all.append(self)

    def look(self, now_s: float, others: Set[str] = frozenset()) -> None:
        """Find new, renamed and removed files, but for `others`, which belong to another tail."""
        self._copies.refresh()
        matched = self._globs.paths()
        listed = listing(matched, self._journal)
        if not listed and self._globs.patterns:
            self._journal.once("warning", "globs", "no file matches yet", patterns=self._globs.patterns)
        for key, (status, paths) in listed.items():
            if key in others:
                continue
            self._take_over(key)
            follower = self._followers.get(key) or self._found(key, status, paths[0], matched[paths[0]])
            if follower is None:
                continue
            follower.listed_s = now_s
            path = follower.position.path if follower.position.path in paths else paths[0]
            follower.position = follower.position.renamed(readable(path))
            self._files[key].listed(path, status)
        if not self._looked_for_moved:
            self._looked_for_moved = True
            self._open_moved(listed.keys() | others, now_s)
            self._note_patterns()
        self._leave(listed.keys(), now_s)
        self._judge_packed(time.time_ns())

    def judge(self, now_ns: int) -> None:
        """Decide about files that are not read yet whether they are copies.

        Call it for all tails before `takes`: the reads of `takes` are not committed, so that a copy which is judged
        among them would begin before the lines that were just read of its original.
        """
        for follower in [follower for follower in self._followers.values() if not follower.judged]:
            try:
                self._judge(follower, now_ns)
            except OSError as error:
                self._cannot_be_read(follower, error)

    def takes(self, now_s: float, observed_ns: int) -> Iterator[tuple[Follower, Taken]]:
        """Read each judged file once, and give the reads with records; files take turns, so that no file starves."""
        for key, follower in list(self._followers.items()):
            try:
                taken = follower.take(now_s, observed_ns) if follower.judged else None
                if taken is None and follower.position.packed:
                    self._finish(key, follower)
            except OSError as error:
                self._cannot_be_read(follower, error)
                continue
            if follower.was_replaced:
                follower.was_replaced = False
                self._journal.info(
                    "file was truncated or replaced, the agent reads it from its start",
                    path=follower.position.path,
                    generation=follower.position.generation,
                )
                self._open_beside([follower.position.path], now_s)
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

    def _cannot_be_read(self, follower: Follower, error: OSError) -> None:
        key, path = follower.position.key, follower.position.path
        self._journal.once("error", key, "file cannot be read, the agent will retry", path=path, error=error)

    def _judge(self, follower: Follower, now_ns: int) -> None:
        """Let the file be read once it has bytes, and they are known to be its own or those of a copy."""
        file = self._files[follower.position.key]
        if not follower.source.size() or kind_of(file.read_at(MAGIC_BYTES, 0)):
            return  # `look` decides about a compressed file
        verdict = self._copies.judge(follower.source, follower.position, now_ns)
        if verdict is Verdict.WAIT:
            return
        if verdict is Verdict.OWN and self._rotations.is_beside(follower.position.key):
            self._pass_over(follower, file)
            return
        follower.judged = True
        if isinstance(verdict, Mark):
            follower.position = follower.position.copied(verdict)
            self._changes[follower.position.key] = follower.position
            path, offset = follower.position.path, follower.position.offset
            self._journal.info("file is a copy, the agent reads its rest", path=path, offset=offset)

    def _judge_packed(self, now_ns: int) -> None:
        """Decide about compressed files, all before any of them is read."""
        for follower in [follower for follower in self._followers.values() if not follower.judged]:
            file = self._files[follower.position.key]
            try:
                if not file.size():
                    continue
                kind = kind_of(file.read_at(MAGIC_BYTES, 0))
                if kind and not 0 <= now_ns - file.status().st_ctime_ns < SETTLE_NS:
                    self._begin_packed(follower, file, kind)
            except OSError as error:
                self._cannot_be_read(follower, error)
        for path in self._rotations.later():
            self._open(path)

    def _begin_packed(self, follower: Follower, file: PlainFile, kind: str) -> None:
        mark = self._rotations.begin(file, kind)
        if mark is None:
            self._pass_over(follower, file)
            return
        position = follower.position.unpacked(mark, kind)
        self._changes[file.key] = position
        self._followers[file.key] = self._follow(file, file.path, position)
        self._followers[file.key].judged = True
        self._followers[file.key].listed_s = follower.listed_s
        self._journal.info("reading of a compressed file begins", path=file.path, offset=mark.offset)

    def _pass_over(self, follower: Follower, file: PlainFile) -> None:
        self._rotations.pass_over(file)
        self._drop(follower)
        self._journal.once("info", file.path, "file is not read: it continues no file", path=file.path)

    def _finish(self, key: str, follower: Follower) -> None:
        """Close a compressed file that is read to its end."""
        text, file = follower.source, self._files[key]
        if not isinstance(text, PackedFile) or not text.ended() or not follower.at_end():
            return
        if text.damage:
            self._journal.warning("compressed file is damaged: its rest is lost", path=file.path, error=text.damage)
        position = follower.position.finished(file.status().st_size)
        self._known[key] = self._changes[key] = position
        self._drop(follower)

    def _open_beside(self, logs: list[str], now_s: float) -> None:
        """Open files whose names are those of rotations of logs that were truncated or are gone."""
        for path in self._rotations.beside(logs, self._followers.keys() | self._known.keys(), self._globs.matches):
            if follower := self._open(path):
                follower.listed_s = now_s

    def _originals(self) -> Iterator[Original]:
        for tail in self._all:
            yield from (Original(follower.position, follower) for follower in tail._followers.values())
        yield from (Original(position, None) for position in self._known.values())

    def _not_looked_for(self, known: Mapping[str, Position]) -> set[str]:
        """The patterns for which no earlier run has looked. Runs with begin="start" leave only positions of files."""
        new = {pattern for pattern in self._globs.patterns if LOOKED + readable(pattern) not in known}
        return {pattern for pattern in new if not any(map(Globs([pattern]).matches, _paths(known)))}

    def _found(self, key: str, status: os.stat_result, path: str, patterns: set[str]) -> Follower | None:
        """The follower of a file that is not followed yet; None if it is not read."""
        if self._is_over(key, status):
            return None
        self._rotations.listed(key, patterns)
        return self._open(path, skip=bool(self._new_patterns) and patterns <= self._new_patterns)

    def _is_over(self, key: str, status: os.stat_result) -> bool:
        """True if the file is not read, or a compressed file that is read to its end."""
        known = self._known.get(key)
        if known and known.packed_bytes:
            self._rotations.knows(known.path, status.st_mtime_ns)
            return known.packed_bytes == status.st_size
        return self._rotations.is_passed(key, status)

    def _take_over(self, key: str) -> None:
        """End the reading of a file by a later tail: it was moved, and matches the patterns of this one now."""
        for other in self._all:
            if other is not self and (follower := other._followers.get(key)):
                self._known[key] = follower.position
                other._drop(follower)

    def _note_patterns(self) -> None:
        if self._skipping:
            self._changes |= {
                LOOKED + readable(pattern): Position(readable(pattern), 0, 0) for pattern in sorted(self._new_patterns)
            }
            self._new_patterns = set()

    def _open(self, path: str, skip: bool = False) -> Follower | None:
        file = None
        try:
            file = PlainFile(self._open_files, path, self._open_files.open(path))
            follower = self._begun(file, path, skip)
        except OSError as error:
            if file:
                file.close()
            if not isinstance(error, FileNotFoundError):
                self._journal.once(
                    "warning", path, "file cannot be opened, the agent will retry", path=path, error=error
                )
            return None
        return follower

    def _begun(self, file: PlainFile, path: str, skip: bool) -> Follower | None:
        """The follower of an open file, from its known position; None if it is not read here. May raise OSError."""
        if any(file.key in tail._followers for tail in self._all):  # it was renamed between `stat` and `open`
            file.close()
            return self._followers.get(file.key)
        position = self._known.get(file.key)
        if position:
            self._rotations.knows(path, file.seen.st_mtime_ns)
        else:
            position = Position(readable(path), file.seen.st_dev, file.seen.st_ino)
            if skip and (kind := kind_of(file.read_at(MAGIC_BYTES, 0))):
                position = position.unpacked(Mark(), kind).finished(file.seen.st_size)
                self._known[file.key] = self._changes[file.key] = position
                file.close()
                return None
            if skip:
                newline = encoding_of(self._encoding, file.read_at(BOM_BYTES, 0)).newline
                position = self._changes[file.key] = last_line(file, position, self._limits.line_bytes, newline)
        follower = self._follow(file, path, position)
        self._known.pop(file.key, None)
        self._followers[file.key] = follower
        self._files[file.key] = file
        self._journal.info("reading of a file begins", path=path, offset=follower.position.offset)
        return follower

    def _follow(self, file: PlainFile, path: str, position: Position) -> Follower:
        text = readable(path)
        container = container_of(text)
        names = {"log.file.name": Path(text).name, "log.file.path": text}
        attributes = {**names, **container.attributes, **self._origin.attributes}
        service = self._origin.service or container.service or UNKNOWN_SERVICE
        encoder = LineEncoder(replace(self._origin, service=service, attributes=attributes), self._limits)
        source = PackedFile(file, position.packed, max(0, position.offset - GUARD_BYTES)) if position.packed else file
        follower = Follower(source, position, encoder, self._limits, self._hold_s, self._how, self._encoding)
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
        self._open_beside([ours[key].path for key in ours.keys() - self._followers.keys()], now_s)

    def _leave(self, listed: Set[str], now_s: float) -> None:
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
                self._gone.append(key)
            self._known[key] = follower.position
            self._drop(follower)
        while len(self._gone) > MOST_GONE:
            oldest = self._gone.pop(0)
            if self._known.pop(oldest, None):
                self._changes[oldest] = None

    def _drop(self, follower: Follower) -> None:
        key = follower.position.key
        follower.close()
        self._copies.forget(key)
        del self._followers[key], self._files[key]


def _paths(known: Mapping[str, Position]) -> set[str]:
    return {place.path for key, place in known.items() if not key.startswith(LOOKED)}
