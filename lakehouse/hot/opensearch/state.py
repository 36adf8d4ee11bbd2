"""What the hot store knows of itself: checkpoints and days of each kind, two documents in the index `<prefix>-state`.

Both are read and replaced with the engine's sequence numbers, so that several writers, each with partitions of its own,
lose no word of one another. An acknowledged document is on disk (translog durability `request`).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.templates import FORMAT

_TRIES = 50
_STARTING = ("illegal_index_shard_state_exception", "no_shard_available_action_exception")
_STARTING_TRIES, _STARTING_PAUSE_S = 10, 0.05

T = TypeVar("T")


class DayState(msgspec.Struct):
    """One arrival day.

    Attributes:
        uuid: Of the index that it was begun or rebuilt in: another of that name does not hold the day. "": it was
            forgotten or dropped, and none was begun since.
        rebuilt_ns: When it was rebuilt from the lake; None: flows wrote it.
        format: In which its documents are written.
        removals: How often it was dropped or forgotten: a rebuild that began before comes to nothing.
        checkpoints: Of a day that was rebuilt: next offset by bus partition; what comes from before it is skipped.
        skipped: While it was dropped: next offset of what came and was left out, by bus partition.
    """

    uuid: str
    distrusted: bool = False
    dropped: bool = False
    rebuilt_ns: int | None = None
    format: int = 1  # that of days which were begun before it was noted
    removals: int = 0
    checkpoints: dict[int, int] = {}
    skipped: dict[int, int] = {}


class Days(msgspec.Struct):
    """Every day that was begun, rebuilt or dropped.

    Attributes:
        distrusted_through: This day and all before it may miss rows, as flows wrote them; None is no day.
        distrusts: How often something was distrusted: a day whose rebuild began before is not trusted.
    """

    days: dict[dt.date, DayState] = {}
    distrusted_through: dt.date | None = None
    distrusts: int = 0

    def trusts(self, day: dt.date, uuid: str) -> bool:
        """Whether the index `uuid` holds all of `day`."""
        known = self.days.get(day)
        if known is None or known.dropped or known.distrusted or known.uuid != uuid or known.format != FORMAT:
            return False
        return known.rebuilt_ns is not None or self.distrusted_through is None or day > self.distrusted_through

    def rebuilt_ns(self, day: dt.date, uuid: str) -> int | None:
        known = self.days.get(day)
        return known.rebuilt_ns if known is not None and known.uuid == uuid else None

    def may_be_asked(self, day: dt.date) -> bool:
        """Whether the index of `day` was not dropped and is written in our format; it may miss rows."""
        known = self.days.get(day)
        return known is None or (not known.dropped and known.format == FORMAT)

    def is_dropped(self, day: dt.date) -> bool:
        return day in self.days and self.days[day].dropped

    def remove(self, day: dt.date, for_good: bool) -> None:
        """Note that the index of `day` goes: `for_good`, or until more rows come, which are not all of it then."""
        known = self.days.get(day) or DayState("")
        dropped = for_good or known.dropped
        self.days[day] = DayState("", not dropped, dropped, removals=known.removals + 1, skipped=known.skipped)

    def distrust(self, through: dt.date) -> None:
        self.distrusted_through = max(through, self.distrusted_through or through)
        for day, known in self.days.items():
            if known.rebuilt_ns is not None and day <= through:
                known.distrusted = True
        self.distrusts += 1


class Checkpoints(msgspec.Struct):
    """Next offset by bus partition."""

    partitions: dict[int, int] = {}


@dataclass(slots=True)
class Known(Generic[T]):
    """A document as it was last seen, and what replaces it must name; `at` is empty when there was none."""

    value: T
    at: dict[str, str] = field(default_factory=dict)


class KindState:
    """Of one kind. Thread-safe: nothing is kept here."""

    def __init__(self, client: Client, prefix: str, kind: Kind) -> None:
        self._client, self._index = client, f"{prefix}-state"
        self._checkpoints, self._days = f"{kind.value}-checkpoints", f"{kind.value}-days"

    def create(self) -> None:
        """Make the index; idempotent."""
        try:
            self._client.call("PUT", f"/{self._index}", {})
        except EngineError as error:
            if error.kind != "resource_already_exists_exception":
                raise

    def checkpoints(self) -> Known[Checkpoints]:
        return self._read(self._checkpoints, Checkpoints)

    def days(self) -> Days:
        return self._read(self._days, Days).value

    def change_days(self, change: Callable[[Days], None]) -> Days:
        """Apply `change` to what stands there now; it may be called again."""
        for _ in range(_TRIES):
            known = self._read(self._days, Days)
            before = msgspec.json.encode(known.value)
            change(known.value)
            if msgspec.json.encode(known.value) == before or self._write(self._days, known) is not None:
                return known.value
        raise StoreError(f'"{self._index}" is changed by too many at once', retry_after_s=1)

    def write_checkpoints(self, known: Known[Checkpoints], moved: dict[int, int]) -> Known[Checkpoints]:
        """Move the checkpoints of `moved` on, beside those that other writers moved meanwhile.

        Raises:
            StoreError: Another writer moved one of ours.
        """
        for _ in range(_TRIES):
            value = Checkpoints(known.value.partitions | moved)
            written = self._write(self._checkpoints, Known(value, known.at))
            if written is not None:
                return written
            fresh = self.checkpoints()
            for partition, offset in moved.items():
                theirs = fresh.value.partitions.get(partition, 0)
                if theirs not in (known.value.partitions.get(partition, 0), offset):
                    raise StoreError(
                        f"bus partition {partition} is written to the hot store by another process as well",
                        hint="run one flow per kind and partition; find the other one and stop it",
                        retry_after_s=5,
                    )
            known = fresh
        raise StoreError(f'"{self._index}" is changed by too many at once', retry_after_s=1)

    def _read(self, name: str, kind: type[T]) -> Known[T]:
        found = self._found(name)
        if not found.get("found"):
            return Known(kind())
        at = {"if_seq_no": str(found["_seq_no"]), "if_primary_term": str(found["_primary_term"])}
        return Known(msgspec.convert(found["_source"], kind, strict=False), at)

    def _found(self, name: str) -> dict[str, Any]:
        """The engine's answer; waits a moment for an index that was made just now, by another process."""
        for left in reversed(range(_STARTING_TRIES)):
            try:
                found: dict[str, Any] = self._client.call("GET", f"/{self._index}/_doc/{name}", absent={})
                return found
            except EngineError as error:
                if error.kind not in _STARTING or not left:
                    raise
                time.sleep(_STARTING_PAUSE_S)
        raise AssertionError("not reached")

    def _write(self, name: str, known: Known[T]) -> Known[T] | None:
        """None: somebody was faster."""
        body = msgspec.json.encode(known.value)
        try:
            answer: dict[str, Any] = self._client.call(
                "PUT", f"/{self._index}/_doc/{name}", body, params=known.at or {"op_type": "create"}
            )
        except EngineError as error:
            if error.status == 409:
                return None
            raise
        return Known(
            known.value, {"if_seq_no": str(answer["_seq_no"]), "if_primary_term": str(answer["_primary_term"])}
        )
