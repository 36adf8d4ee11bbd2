"""The oracle: a seed -> records, and what became of each: acknowledged, refused or unknown."""

from __future__ import annotations

import collections
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

WORDS = ("order", "placed", "payment", "refused", "cache", "miss", "timeout", "retry", "user", "login", "done")


@dataclass
class Oracle:
    """Thread-safe. A record is named by its body, which occurs once.

    A record is *acknowledged* when a 2xx named it, *refused* when an answer said it is not stored, *unknown* when no
    answer came and its sender gave up; a sender that retries until it hears moves it on from unknown.
    """

    seed: int
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def bodies(self, sender: str, first: int, count: int) -> list[str]:
        """The bodies numbered `first` and on of `sender`; the same for the same seed."""
        rng = random.Random(f"{self.seed}/{sender}/{first}")
        return [f"{sender}-{number:06d} {' '.join(rng.choices(WORDS, k=6))}" for number in range(first, first + count)]

    def acknowledge(self, bodies: Iterable[str]) -> None:
        with self._lock:
            self.acknowledged.update(bodies)

    def refuse(self, bodies: Iterable[str]) -> None:
        with self._lock:
            self.refused.update(bodies)

    def lose_sight(self, bodies: Iterable[str]) -> None:
        with self._lock:
            self.unknown.update(bodies)

    def faults(self, place: str, found: Mapping[str, int]) -> list[str]:
        """What is wrong with `found` (body -> times seen in `place`); [] when the promise holds."""
        known = self.acknowledged | self.unknown | self.refused
        missing = [body for body in self.acknowledged if not found.get(body)]
        doubled = [body for body in self.acknowledged | self.unknown if found.get(body, 0) > 1]
        present = [body for body in self.refused if found.get(body)]
        strange = [body for body in found if body not in known]
        kinds = {"missing": missing, "doubled": doubled, "refused but present": present, "never sent": strange}
        return [f"{place}: {len(bodies)} {kind}, e.g. {min(bodies)!r}" for kind, bodies in kinds.items() if bodies]


def tally(bodies: Iterable[str]) -> collections.Counter[str]:
    return collections.Counter(bodies)
