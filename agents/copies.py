"""Copies: a file whose start is not read yet -> is it a copy of bytes that the agent has read already?

`copytruncate` of logrotate copies a log, under any name and into any folder, and then truncates the original. The lines
of the copy must not be sent again, but two files that only begin alike must both be read. Evidence, in this order:

- *Content.* The copy holds the bytes that were read of the original: the same head and the same guard (`Mark`).
- *Time.* The bytes of a copy were written before the original was truncated.
- For a head below 1 KiB, which two services may share: the copy is a new file that was made within `wait_s` before the
  truncation, or its name is that of the original with a date, a number or a word such as "old"; or the agent saw both
  files with the same bytes before the truncation.

While the original is not truncated, the agent does not read the file for `wait_s` after the copy was made. After that
the file counts as one of its own: somebody made a second file, and each file is read once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from agents.follow import Follower
from agents.positions import HEAD_BYTES, Mark, Position, head_of, holds, mark_at
from agents.sources import Source

SLACK_NS = 2_000_000_000  # two file systems may have clocks that differ
SMALL_WAIT_NS = 2_000_000_000  # a copy below 1 KiB is written at once: one that stays shorter is none
SAMPLE_BYTES = 1 << 16
BEGIN_BYTES = 32
_ROTATED = re.compile(r"(?:[\W_\d]|\d+[TtZz]|old|bak|backup|copy|prev|previous|orig|save|saved|rotated|archived?|log)*")


class Verdict(Enum):
    OWN = "own"  # a file of its own, to be read from its start
    WAIT = "wait"  # perhaps a copy: the original may still be truncated


@dataclass(frozen=True, slots=True)
class Original:
    """A position that was read: of a file that is followed, or of one that is not (None)."""

    position: Position
    follower: Follower | None

    @property
    def marks(self) -> Iterator[Mark]:
        yield self.position.mark
        if self.position.before:
            yield self.position.before
        yield from self.position.earlier


class Copies:
    """Finds the originals of copies. `originals` gives all positions; they are asked for after `refresh`."""

    def __init__(self, originals: Callable[[], Iterable[Original]], wait_s: float) -> None:
        self._originals = originals
        self._wait_ns = int(wait_s * 1e9)
        self._heads: dict[int, dict[str, list[Original]]] | None = None
        self._beginnings: dict[str, tuple[int, bytes]] = {}  # generation and first bytes, by file
        # copy -> generations of the originals that it equalled, and of those that it did not equal
        self._suspects: dict[tuple[str, int], dict[str, int]] = {}
        self._unlike: dict[tuple[str, int], set[tuple[str, int]]] = {}

    def refresh(self) -> None:
        self._heads = None

    def forget(self, key: str) -> None:
        """Forget a file that is not followed any more."""
        self._beginnings.pop(key, None)
        for of in (self._suspects, self._unlike):
            for file in [file for file in of if file[0] == key]:
                of.pop(file)

    def judge(self, copy: Source, position: Position, now_ns: int) -> Mark | Verdict:
        """The mark at which the reading of `copy` begins, or a verdict. `position`: where `copy` stands now."""
        found, waits_for = Mark(), 0  # the original of which most bytes are equal decides
        for original in self._candidates(copy, position):
            verdict = self._compare(copy, position, original, now_ns)
            if isinstance(verdict, Mark):
                found = max(found, verdict, key=lambda mark: mark.offset)
            elif verdict is Verdict.WAIT:
                waits_for = max(waits_for, min(original.position.offset, copy.size()))
        if waits_for > found.offset:
            return Verdict.WAIT
        self._suspects.pop((position.key, position.generation), None)
        self._unlike.pop((position.key, position.generation), None)
        return found if found.offset else Verdict.OWN

    def continued(self, text: Source, path: str) -> Original | None:
        """The original of whose bytes `text` holds most; its position is moved to the mark where `text` goes on.

        `text` is that of a compressed file, `path` its path without the ending of the compressor.
        """
        head = text.read_at(HEAD_BYTES, 0)
        heads = self._heads if self._heads is not None else self._indexed()
        near = [o for size, of in heads.items() if size <= len(head) for o in of.get(head_of(head[:size]), [])]
        marks = [(mark.offset, n, mark) for n, original in enumerate(near) for mark in original.marks if mark.offset]
        for _, number, mark in sorted(marks, key=lambda each: -each[0]):
            original = near[number]
            named = mark.head_bytes >= HEAD_BYTES or is_rotated_name(path, original.position.path)
            if named and holds(text, mark):
                whole = mark == original.position.mark
                return Original(original.position.copied(mark), original.follower if whole else None)
        return None

    def _candidates(self, copy: Source, position: Position) -> Iterable[Original]:
        """Originals whose head `copy` has, or whose beginning it is."""
        heads = self._heads if self._heads is not None else self._indexed()
        head = copy.read_at(HEAD_BYTES, 0)
        suspected = self._suspects.get((position.key, position.generation), {})
        found: dict[str, Original] = {}
        for size, by_hash in heads.items():
            if size <= len(head):
                near = by_hash.get(head_of(head[:size]), [])
            else:
                near = [each for several in by_hash.values() for each in several if self._begins(each, head)]
            found |= {each.position.key: each for each in near}
        found |= {o.position.key: o for o in self._originals() if o.position.key in suspected} if suspected else {}
        found.pop(position.key, None)
        return found.values()

    def _begins(self, original: Original, head: bytes) -> bool:
        """True if the file of `original` is there and may begin with `head`; a cheap test, from memory."""
        if original.follower is None:
            return False
        key, generation = original.position.key, original.follower.position.generation
        known = self._beginnings.get(key)
        if known is None or known[0] != generation:
            try:
                known = generation, original.follower.source.read_at(BEGIN_BYTES, 0)
            except OSError:
                return False
            self._beginnings[key] = known
        return known[1][: len(head)] == head[:BEGIN_BYTES]

    def _indexed(self) -> dict[int, dict[str, list[Original]]]:
        self._heads = {}
        for original in self._originals():
            for mark in original.marks:
                if mark.offset:
                    self._heads.setdefault(mark.head_bytes, {}).setdefault(mark.head, []).append(original)
        return self._heads

    def _compare(self, copy: Source, position: Position, original: Original, now_ns: int) -> Mark | Verdict:
        follower = original.follower
        if follower is None:
            return _of_lost(copy, position, original.position)
        try:
            follower.verify()
        except OSError:
            return _of_lost(copy, position, original.position)
        if mark := self._of_truncated(copy, position, follower.position):
            return mark
        return self._of_intact(copy, position, follower, now_ns)

    def _of_truncated(self, copy: Source, position: Position, original: Position) -> Mark | None:
        before = original.before
        status = copy.status()
        slack_ns = 0 if position.device == original.device else SLACK_NS
        if before is None or (original.before_ns and status.st_mtime_ns > original.before_ns + slack_ns):
            return None
        unlike = self._unlike.get((position.key, position.generation), ())
        if (original.key, original.generation - 1) in unlike:
            return None
        suspected = (
            self._suspects.get((position.key, position.generation), {}).get(original.key, original.generation)
            < original.generation
        )
        whole = before.head_bytes >= HEAD_BYTES
        made_before_ns = original.before_ns - status.st_ctime_ns
        timely = not position.generation and -slack_ns <= made_before_ns <= self._wait_ns + slack_ns
        if not (suspected or whole or timely or is_rotated_name(position.path, original.path)):
            return None
        if holds(copy, before):
            return before
        size = status.st_size
        if size >= before.offset or not (suspected or (whole and size >= HEAD_BYTES)):
            return None
        same = suspected or head_of(copy.read_at(HEAD_BYTES, 0)) == before.head
        return mark_at(copy, size) if same else None  # the original was read further before it was truncated

    def _of_intact(self, copy: Source, position: Position, original: Follower, now_ns: int) -> Verdict:
        mark, status = original.position.mark, copy.status()
        if not mark.offset:
            return Verdict.OWN
        if not _same_samples(copy, original.source, status.st_size):
            generation = original.position.generation
            original.verify()
            if original.position.generation != generation:  # it was truncated while both were compared
                return Verdict.WAIT
            unlike = self._unlike.setdefault((position.key, position.generation), set())
            unlike.add((original.position.key, original.position.generation))
            return Verdict.OWN
        small_part = status.st_size < min(mark.offset, HEAD_BYTES)
        wait_ns = min(SMALL_WAIT_NS, self._wait_ns) if small_part else self._wait_ns
        if now_ns - status.st_ctime_ns > wait_ns:
            return Verdict.OWN
        self._suspects.setdefault((position.key, position.generation), {})[
            original.position.key
        ] = original.position.generation
        return Verdict.WAIT


def _of_lost(copy: Source, position: Position, original: Position) -> Mark | Verdict:
    """The original is not there any more: only a long head, or a name, tells its copy from another file."""
    if position.path == original.path:
        return Verdict.OWN
    for mark in (original.mark, original.before):
        if mark is None or not mark.offset or not holds(copy, mark):
            continue
        if mark.head_bytes >= HEAD_BYTES or is_rotated_name(position.path, original.path):
            return mark
    return Verdict.OWN


def _same_samples(copy: Source, original: Source, size: int) -> bool:
    """True if the first and the last 64 KiB of the `size` bytes of `copy` stand at the same places in `original`.

    A copy that has more bytes than the original is none: an original only grows until it is truncated.
    """
    if size > original.size():
        return False
    places = (0, max(0, size - SAMPLE_BYTES))
    return all(copy.read_at(n, at) == original.read_at(n, at) for at in places for n in (min(SAMPLE_BYTES, size - at),))


def is_rotated_name(path: str, original: str) -> bool:
    """True if the name of `path` is that of `original` with a date, a number or a word such as "old" added to it."""
    name, base = path.rpartition("/")[2], original.rpartition("/")[2]
    stem, _, ending = base.rpartition(".") if "." in base[1:] else (base, "", "")
    if name.startswith(base):
        rest = name[len(base) :]
    elif name.startswith(stem) and name.endswith(ending):
        rest = name[len(stem) : len(name) - len(ending)]
    else:
        return False
    return bool(_ROTATED.fullmatch(rest.lower()))
