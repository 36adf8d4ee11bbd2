"""Saved repeats: what a partition remembers -> small files beside the lake's tables -> the state as of an offset.

Each file name says between which offsets its content was learned:

    new-<from>-<to>           streams and keys that changed; one every few seconds
    keys-<from>-<to>-<count>  keys alone, of many files `new`; never written again, and deleted when all are forgotten
    all-<to>                  all streams at an offset, and the names of the files `keys` that make the state whole

A start at offset S takes the newest `all` at or before S, then each `new` that goes on from there and does not pass S;
the flow reads the headers of the messages between there and S. So no file has to be written together with a commit of
a store, and a crash at any instant leaves a state that is merely older. A file that is missing or torn is passed over:
the state is then an older one, or none, and more headers are read.

Content is decided by the messages alone: two processes that save the same offsets write the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from flows.read.repeats import Learned, Repeats
from flows.read.repeats_file import Torn, from_bytes, to_bytes
from lakehouse.delta.blobs import Blobs

FOLDER = "_headwater_repeats"
LOOKS = 3  # at files that another process is deleting, because it has written newer ones
READERS = 16  # requests at a time: a folder needs none, an S3 server answers each after some ten milliseconds
_OFFSET = "020d"

log = logging.getLogger("headwater.flows")


@dataclass(frozen=True, slots=True)
class Name:
    """Of a file. `start` is 0 for an `all`; `count`: keys of a `keys`."""

    form: str
    start: int
    end: int
    count: int = 0

    def __str__(self) -> str:
        if self.form == "all":
            return f"all-{self.end:{_OFFSET}}"
        text = f"{self.form}-{self.start:{_OFFSET}}-{self.end:{_OFFSET}}"
        return f"{text}-{self.count}" if self.form == "keys" else text


def name_of(text: str) -> Name | None:
    """None: not one of ours."""
    form, *numbers = text.split("-")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    values = [int(number) for number in numbers]
    match form, values:
        case "all", [end]:
            return Name(form, 0, end)
        case "new", [start, end]:
            return Name(form, start, end)
        case "keys", [start, end, count]:
            return Name(form, start, end, count)
    return None


@dataclass(slots=True)
class Recalled:
    """The state as of `offset`, and the files that hold it. `all_there`: it needs no headers from before `offset`."""

    repeats: Repeats
    offset: int = 0
    all_there: bool = False
    base: Name | None = None
    keys: list[Name] = field(default_factory=list)  # that `base` needs
    key_number: int = 0  # of the first key that is in none of them
    news: int = 0  # files `new` that were taken
    news_bytes: int = 0


class SavedRepeats:
    """Of one partition.

    Args:
        lake: Identity of the lake; files of another one, that lay in this place before, are passed over.
        empty: Makes a state in which nothing is known.
    """

    def __init__(self, blobs: Blobs, lake: int, empty: Callable[[], Repeats]) -> None:
        self._blobs, self._lake, self._empty = blobs, lake, empty

    def names(self) -> list[Name]:
        return [name for text in self._blobs.names() if (name := name_of(text))]

    def at(self, offset: int) -> Recalled:
        """The newest state that is saved of `offset` or before; nothing is known at offset 0.

        Raises:
            StoreError: The files cannot be read; the same call may be repeated.
        """
        if offset <= 0:
            return Recalled(self._empty(), 0, all_there=True)
        known = Recalled(self._empty())
        for _ in range(LOOKS):
            names = [name for name in self.names() if name.end <= offset]
            known, is_whole = self._state(names)
            if is_whole:
                break
        return known

    def _state(self, names: Sequence[Name]) -> tuple[Recalled, bool]:
        """False: a file was missing or torn, so that an older state was taken."""
        is_whole, known = True, Recalled(self._empty())
        for base in sorted((name for name in names if name.form == "all"), key=lambda name: -name.end):
            if found := self._based_on(base):
                known = found
                break
            is_whole = False
        if known.base is None and any(name.form == "new" and name.start == 0 for name in names):
            known.all_there = True  # at offset 0 nothing is known
        return known, self._go_on(known, names) and is_whole

    def _based_on(self, base: Name) -> Recalled | None:
        found = self.read(base)
        if found is None:
            return None
        learned, needs = found
        keys = [name for text in needs if (name := name_of(text))]
        known = Recalled(self._empty(), base.end, True, base, keys)
        for part in self._read_all(keys):
            if part is None:
                return None
            known.repeats.take(part[0])
        known.repeats.take(learned)
        known.key_number = known.repeats.keys_added
        return known

    def _go_on(self, known: Recalled, names: Sequence[Name]) -> bool:
        """Take what was learned since; False: a file was missing or torn."""
        if not known.all_there:
            return True
        chosen, end = list[Name](), known.offset
        news = sorted((name for name in names if name.form == "new"), key=lambda name: name.start)
        while longer := [name for name in news if name.start <= end < name.end]:
            chosen.append(max(longer, key=lambda name: name.end))
            end = chosen[-1].end
        for name, part in zip(chosen, self._read_all(chosen), strict=True):
            if part is None:
                return False
            known.repeats.take(part[0])
            known.offset = name.end
            known.news += 1
            known.news_bytes += len(part[0].keys) + 2 * len(part[0].streams)
        return True

    def _read_all(self, names: Sequence[Name]) -> list[tuple[Learned, list[str]] | None]:
        if len(names) < READERS:
            return [self.read(name) for name in names]
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(self.read, names))

    def read(self, name: Name) -> tuple[Learned, list[str]] | None:
        """None: it is missing, or torn."""
        content = self._blobs.read(str(name))
        if content is None:
            return None
        try:
            return from_bytes(content, self._lake)
        except Torn as error:
            log.warning('what was saved of repeats in "%s" is passed over: %s', name, error)
            return None

    def write(self, name: Name, learned: Learned, needs: Sequence[Name] = ()) -> int:
        """Durable on return; how many bytes."""
        content = to_bytes(learned, self._lake, [str(each) for each in needs])
        self._blobs.write(str(name), content)
        return len(content)

    def delete(self, name: Name) -> None:
        self._blobs.delete(str(name))
