"""Keys: 16-byte digests in the order in which they came -> which of them are remembered, in 24 to 40 bytes each.

A ring holds the digests and their times; a table of places in the ring, probed one place after the other, finds them.
What leaves the ring stays in the table until it is made anew: a place whose digest is another one, or is gone, is no
find. A Python set of the same needs 110 bytes a key, and does not know which is the oldest.
"""

from __future__ import annotations

import array

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
_FIRST_SIZE = 1024
_MOST_USED = 0.7  # of the table, before it is made anew

Longs = npt.NDArray[np.int64]


class Keys:
    """First in, first out. Not thread-safe.

    Args:
        limit: Most keys; the oldest go first.

    Attributes:
        added: How many were ever added: the number of the next one.
        pushed_out: How many went because of the limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = min(limit, _FIRST_SIZE)
        self._digests = bytearray(self._size * DIGEST_BYTES)
        self._times = array.array("q", bytes(8 * self._size))
        self.added = self.pushed_out = 0
        self._oldest = 0  # its number
        self._place_all()

    def __len__(self) -> int:
        return self.added - self._oldest

    def __contains__(self, digest: bytes) -> bool:
        slot = int.from_bytes(digest[:8], "little") & self._mask
        while place := self._table[slot]:
            start = (place - 1) * DIGEST_BYTES
            if self._digests[start : start + DIGEST_BYTES] == digest and self._is_kept(place - 1):
                return True
            slot = (slot + 1) & self._mask
        return False

    def _is_kept(self, place: int) -> bool:
        return (place - self._oldest) % self._size < len(self)

    def add(self, digest: bytes, time_ns: int) -> None:
        """Add one that is not there."""
        if len(self) == self._limit:
            self._oldest += 1
            self.pushed_out += 1
        elif len(self) == self._size:
            self._grow()
        place = self.added % self._size
        self._digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES] = digest
        self._times[place] = time_ns
        self.added += 1
        if self._used > self._mask * _MOST_USED:
            self._place_all()
            return
        slot = int.from_bytes(digest[:8], "little") & self._mask
        while self._table[slot]:
            slot = (slot + 1) & self._mask
        self._table[slot] = place + 1
        self._used += 1

    def forget_before(self, time_ns: int) -> None:
        """Let go of those that came before."""
        while self._oldest < self.added and self._times[self._oldest % self._size] < time_ns:
            self._oldest += 1

    def since(self, number: int) -> tuple[bytes, Longs]:
        """Digests and times of those with that number and later, as far as they are kept."""
        first = max(number, self._oldest)
        places = np.arange(first, self.added) % self._size
        digests = np.frombuffer(self._digests, np.uint8).reshape(-1, DIGEST_BYTES)
        return digests[places].tobytes(), np.frombuffer(self._times, np.int64)[places]

    def _grow(self) -> None:
        digests, times = self.since(self._oldest)
        self._size = min(self._limit, 2 * self._size)
        self._digests = bytearray(self._size * DIGEST_BYTES)
        self._times = array.array("q", bytes(8 * self._size))
        places = np.arange(self._oldest, self.added) % self._size
        np.frombuffer(self._digests, np.uint8).reshape(-1, DIGEST_BYTES)[places] = np.frombuffer(
            digests, np.uint8
        ).reshape(-1, DIGEST_BYTES)
        np.frombuffer(self._times, np.int64)[places] = times
        self._place_all()

    def _place_all(self) -> None:
        """Make the table anew. All keys without a slot try theirs at once; a key whose slot is taken tries the next."""
        slots_count = 1 << (2 * self._size - 1).bit_length()
        self._mask = slots_count - 1
        table = np.zeros(slots_count, np.int32)
        waiting = (np.arange(self._oldest, self.added) % self._size).astype(np.int32)
        slots = np.frombuffer(self._digests, "<u8")[::2][waiting] & np.uint64(self._mask)
        while len(waiting):
            free = table[slots] == 0
            table[slots[free]] = waiting[free] + 1
            lost = table[slots] != waiting + 1
            waiting, slots = waiting[lost], (slots[lost] + np.uint64(1)) & np.uint64(self._mask)
        self._table = memoryview(table)  # type: ignore[arg-type]  # an array is a buffer since numpy 1
        self._used = len(self)
