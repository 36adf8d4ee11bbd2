"""Repeats: batch headers of one bus partition, in order -> which lines of each are new.

Pure, and decided by headers alone. All batches of a producer stand in one partition in the order in which the service
took them. So a stream is remembered by its next expected sequence and by the holes before it, which a producer with
several requests in flight may fill later; a request without a sequence is remembered by its key.

The state as of an offset follows from the headers before it. `Learned` is what changed between two offsets: a state of
the first one that takes it is the state of the second one. It is saved (`flows.read.saved_repeats`), so that a start
reads only the headers that came after.

Memory: a key takes 24 to 40 bytes, a stream about 190. Both are bounded; the oldest are forgotten first, and counted.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.messages import BatchHeader
from flows.read.keys import DIGEST_BYTES, Keys, Longs

HOUR_NS = 3_600_000_000_000
ONE_BATCH = ("key:", "req:")  # producers that stand for one request: idempotency keys and request ids
FOREIGN = "bus:"
HOLES = 64  # remembered of a stream; what would fill an older one is taken for a repeat
HOLES_EACH = 2  # remembered of all streams together, for each stream that may be

Lines = tuple[range, ...]  # of a batch, by their place in it, ascending
Hole = tuple[int, int]  # first sequence that was not seen, and the one past the last

_STREAM = struct.Struct("<qq")  # next sequence, time of the last batch


def fresh_lines(header: BatchHeader, next_sequence: int, holes: Sequence[Hole]) -> Lines:
    """The decision: which lines of a batch are new, when everything before `next_sequence` but `holes` was seen."""
    start, end = header.sequence, header.sequence + header.span
    parts = [(max(low, start), min(high, end)) for low, high in (*holes, (next_sequence, end))]
    return tuple(range(low - start, high - start) for low, high in parts if low < high)


def holes_after(header: BatchHeader, next_sequence: int, holes: Sequence[Hole]) -> tuple[Hole, ...]:
    """The holes of a stream once the batch was seen."""
    start, end = header.sequence, header.sequence + header.span
    if start > next_sequence:
        return (*holes, (next_sequence, start))[-HOLES:]
    if start < next_sequence and holes:
        return tuple(part for hole in holes for part in _without(hole, start, end))
    return tuple(holes)


def _without(hole: Hole, start: int, end: int) -> list[Hole]:
    """What is left of `hole` when `start` to `end` is filled."""
    low, high = hole
    return [(a, b) for a, b in ((low, min(high, start)), (max(low, end), high)) if a < b]


def digest(header: BatchHeader) -> bytes:
    """16 bytes for (tenant, producer, epoch, stream)."""
    name = f"{header.tenant}\n{len(header.producer)}\n{header.producer}{header.epoch}\n{header.stream}"
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Learned:
    """What became known between two offsets, oldest first; or all that is known at one.

    Attributes:
        now_ns: The latest arrival.
        keys: Digests, one after the other; `key_times` has the arrival of each.
        streams: Digests, one after the other; `stream_values` has next sequence and last arrival of each.
        holes: Rows of (number of the stream in `streams`, first, end).
    """

    now_ns: int
    keys: bytes
    key_times: Longs
    streams: bytes
    stream_values: Longs
    holes: Longs


class Repeats:
    """What one partition remembers. Both memories run by the clock of the messages, so a replay decides the same; when
    that clock is set back, they wait for it.

    Args:
        stream_h: Hours after its last batch that a stream is forgotten; as long as the bus remembers.
        key_h, keys: How long, and how many, requests are remembered.
        streams: How many streams are remembered.

    Attributes:
        most_keys: How many requests are remembered at most.
        gaps: Batches that began past the expected sequence; they are taken.
        streams_pushed_out: Streams that were forgotten because there were too many.
    """

    def __init__(self, stream_h: float, key_h: float, keys: int, streams: int) -> None:
        self._stream_ns, self._key_ns = int(stream_h * HOUR_NS), int(key_h * HOUR_NS)
        self._most_streams, self.most_keys = streams, keys
        self.gaps = self.streams_pushed_out = 0
        self._now_ns = 0
        self._keys = Keys(keys)
        self._streams: dict[bytes, bytes] = {}  # oldest first
        self._holes: dict[bytes, tuple[Hole, ...]] = {}  # of those that have any
        self._holes_count = 0
        self._changed: set[bytes] = set()  # streams since `learned` was last called: the newest of `_streams`
        self._told_keys = 0  # number of the first key since then

    @property
    def keys_added(self) -> int:
        """How many requests were ever remembered: the number of the next key."""
        return self._keys.added

    @property
    def keys_kept(self) -> int:
        """How many requests are remembered."""
        return len(self._keys)

    @property
    def keys_pushed_out(self) -> int:
        """Requests that were forgotten because there were too many."""
        return self._keys.pushed_out

    def fresh(self, header: BatchHeader) -> Lines:
        """Take `header` into account; the lines of its batch that are new (none: it is a repeat in whole)."""
        everything = (range(header.span),)
        if header.producer.startswith(FOREIGN):
            return everything
        self._now_ns = max(self._now_ns, header.received_ns)
        who = digest(header)
        if header.producer.startswith(ONE_BATCH):
            return everything if self._is_new_request(who) else ()
        self._forget_streams()
        known = self._streams.get(who)
        next_sequence = _STREAM.unpack(known)[0] if known else header.sequence
        holes = self._holes.get(who, ()) if known else ((0, header.sequence),) if header.sequence else ()
        self.gaps += header.sequence > next_sequence
        end = max(next_sequence, header.sequence + header.span)
        self._put(who, _STREAM.pack(end, self._now_ns), holes_after(header, next_sequence, holes))
        return fresh_lines(header, next_sequence, holes)

    def _is_new_request(self, who: bytes) -> bool:
        """A key stands for its whole request, even where a client sent more lines under it the second time."""
        self._keys.forget_before(self._now_ns - self._key_ns)
        if who in self._keys:
            return False
        self._keys.add(who, self._now_ns)
        return True

    def _put(self, who: bytes, value: bytes, holes: tuple[Hole, ...]) -> None:
        """As the newest stream; the oldest ones make room."""
        self._streams.pop(who, None)
        self._streams[who] = value
        self._holes_count += len(holes) - len(self._holes.pop(who, ()))
        if holes:
            self._holes[who] = holes
        self._changed.add(who)
        while len(self._streams) > self._most_streams or (
            self._holes_count > HOLES_EACH * self._most_streams and len(self._streams) > 1
        ):
            self._drop(next(iter(self._streams)))
            self.streams_pushed_out += 1

    def _forget_streams(self) -> None:
        before_ns = self._now_ns - self._stream_ns
        while self._streams:
            oldest = next(iter(self._streams))
            if _STREAM.unpack(self._streams[oldest])[1] >= before_ns:
                return
            self._drop(oldest)

    def _drop(self, who: bytes) -> None:
        del self._streams[who]
        self._holes_count -= len(self._holes.pop(who, ()))
        self._changed.discard(who)

    @property
    def has_news(self) -> bool:
        """Whether `learned` has something to tell."""
        return bool(self._changed) or self._told_keys < self._keys.added

    def learned(self) -> Learned:
        """What changed since this was last called."""
        newest = itertools.islice(reversed(self._streams), len(self._changed))
        told = self._tell(list(newest)[::-1], self._told_keys)
        self._changed.clear()
        self._told_keys = self._keys.added
        return told

    def streams(self) -> Learned:
        """All streams, and no keys: `keys_since` has them."""
        return self._tell(list(self._streams), self._keys.added)

    def keys_since(self, number: int) -> tuple[Learned, int]:
        """The keys that were added with that number and later; and the number of the next one."""
        return self._tell([], number), self._keys.added

    def _tell(self, streams: list[bytes], first_key: int) -> Learned:
        keys, times = self._keys.since(first_key)
        values = np.frombuffer(b"".join(self._streams[who] for who in streams), "<i8").reshape(-1, 2)
        holes = [(at, *hole) for at, who in enumerate(streams) if who in self._holes for hole in self._holes[who]]
        rows = np.array(holes, np.int64).reshape(-1, 3)
        return Learned(self._now_ns, keys, times, b"".join(streams), values, rows)

    def take(self, learned: Learned) -> None:
        """Be as after `learned`. It may begin before this state's offset: what is known already changes nothing."""
        self._now_ns = max(self._now_ns, learned.now_ns)
        for at, time_ns in enumerate(learned.key_times.tolist()):
            key = learned.keys[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
            if key not in self._keys:
                self._keys.add(key, time_ns)
        holes: dict[int, list[Hole]] = {}
        for number, first, end in learned.holes.tolist():
            holes.setdefault(number, []).append((first, end))
        for at, (next_sequence, time_ns) in enumerate(learned.stream_values.tolist()):
            who = learned.streams[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
            self._put(who, _STREAM.pack(next_sequence, time_ns), tuple(holes.get(at, ())))

    def nothing_new(self) -> None:
        """Count nothing of the present state as learned: another process has saved it, and counted what it forgot."""
        self.gaps = self.streams_pushed_out = self._keys.pushed_out = 0
        self._changed.clear()
        self._told_keys = self._keys.added
