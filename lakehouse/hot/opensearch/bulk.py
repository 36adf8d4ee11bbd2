"""Lines of documents -> bulk requests: a few in flight, each item's outcome looked at, repeated while overloaded.

An item is done when it was created (201) or is there already (409). 429 and 5xx are tried again, item by item, with
growing pauses; a request that is too large (413) is halved. What the engine refuses for good is tried once more in a
plainer form, then handed back as refused; what has no index any more is let go, and the index named. A blocked or
silent engine ends all with an error: the flow waits, and gives the same documents again.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.hot.opensearch.client import Client, EngineError, refusal
from lakehouse.hot.opensearch.document import plainer

FEWEST_DOCS = 50
GROWTH = 1.05  # of the size of a request, with each that was taken as a whole
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
TOO_LARGE = 413
_READY = 2  # requests that wait for a thread, so that none waits for us

MISSING = "index_not_found_exception"

# With an alias required, a request to an index that was removed does not make it anew, whatever the cluster's settings.
_SPARE = {"require_alias": "true", "filter_path": "errors,items.*.status,items.*.error.type,items.*.error.reason"}

log = logging.getLogger("headwater.hot")


@dataclass(slots=True)
class Size:
    """How many documents the engine takes at once, as far as is known. Shared by the threads of a writer."""

    most: int
    docs: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.docs = self.docs or float(self.most)

    def shrink(self) -> None:
        with self._lock:
            self.docs = max(min(FEWEST_DOCS, self.most), self.docs / 2)

    def grow(self) -> None:
        with self._lock:
            self.docs = min(self.most, self.docs * GROWTH)


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that the engine will not take."""

    index: str
    line: bytes
    reason: str


@dataclass(slots=True)
class _Waiting:
    lines: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


class Bulk:
    """Not thread-safe; its requests are sent by threads of its own. Where it says index, it takes an alias of one.

    Args:
        sleep: Waits so many seconds; true: told to stop.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool] | None = None,
    ) -> None:
        self._client, self._clock = client, clock
        self._patience_s = settings.opensearch_write_timeout_s
        self._most_bytes = settings.opensearch_bulk_mib << 20
        self._in_flight = settings.opensearch_requests
        self.size = Size(settings.opensearch_bulk_docs)
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait
        self._pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="opensearch-bulk")
        self._sent: deque[Future[list[Refused]]] = deque()
        self._waiting: dict[str, _Waiting] = {}
        self._refused: list[Refused] = []
        self._failure: StoreError | None = None
        self.gone: set[str] = set()  # aliases without an index; what was to go there was let go

    def add(self, index: str, lines: Sequence[bytes]) -> None:
        """Take documents; full requests leave at once. A failure is told by `flush`."""
        waiting = self._waiting.setdefault(index, _Waiting())
        waiting.lines += lines
        waiting.size_bytes += sum(map(len, lines))
        while len(waiting.lines) >= self.size.docs or waiting.size_bytes >= self._most_bytes:
            self._send(index, waiting)

    def flush(self) -> list[Refused]:
        """Send what waits; return when all that was added is on disk, with what was refused since the last call.

        Raises:
            StoreError: Some of it may not be there; to be given again to another one.
        """
        for index, waiting in self._waiting.items():
            share = -(-len(waiting.lines) // self._in_flight)  # no thread is left with all that remains
            while waiting.lines:
                self._send(index, waiting, share)
        while self._sent:
            self._settle()
        if self._failure is not None:
            raise self._failure
        refused, self._refused = self._refused, []
        return refused

    def _send(self, index: str, waiting: _Waiting, most: int = sys.maxsize) -> None:
        """One request of what waits. After a failure it is let go: all will be given again."""
        part, size_bytes = list[bytes](), 0
        for line in waiting.lines[: max(1, min(most, int(self.size.docs)))]:
            if part and size_bytes + len(line) > self._most_bytes:
                break
            part.append(line)
            size_bytes += len(line)
        del waiting.lines[: len(part)]
        waiting.size_bytes -= size_bytes
        while len(self._sent) >= self._in_flight + _READY:
            self._settle()
        if self._failure is None:
            self._sent.append(self._pool.submit(self._deliver, index, part))

    def _settle(self) -> None:
        try:
            self._refused += self._sent.popleft().result()
        except StoreError as error:
            self._failure = self._failure or error

    def _deliver(self, index: str, lines: Sequence[bytes]) -> list[Refused]:
        """See to it that every line is there, whatever it takes within the patience. Runs on a thread."""
        deadline, pause_s, refused = self._clock() + self._patience_s, FIRST_PAUSE_S, list[Refused]()
        while True:
            again, why = self._once(index, lines, refused)
            if not again:
                return refused
            self.size.shrink()
            if self._clock() + pause_s > deadline:
                raise why
            log.warning("%d documents to %s are tried again in about %.1f s: %s", len(again), index, pause_s, why)
            if self._sleep(pause_s * random.uniform(0.5, 1.0)):
                raise StoreError("the hot writer was closed while it waited for OpenSearch")
            lines, pause_s = again, min(pause_s * 2, LONGEST_PAUSE_S)

    def _once(self, index: str, lines: Sequence[bytes], refused: list[Refused]) -> tuple[list[bytes], StoreError]:
        """One request; more when it was too large. What is to be tried again, and why."""
        try:
            answer = self._client.call("POST", f"/{index}/_bulk", b"".join(lines), params=_SPARE, lines=True)
        except EngineError as error:
            if error.status == TOO_LARGE:
                return self._halves(index, lines, refused, error)
            if error.may_pass:
                return list(lines), error
            if error.kind == MISSING:
                self.gone.add(index)
                return [], error
            raise
        if not answer.get("errors"):
            self.size.grow()
            return [], StoreError("")
        return self._sorted_out(index, lines, answer["items"], refused)

    def _halves(
        self, index: str, lines: Sequence[bytes], refused: list[Refused], error: EngineError
    ) -> tuple[list[bytes], StoreError]:
        if len(lines) == 1:
            refused.append(Refused(index, lines[0], str(error)))
            return [], error
        self.size.shrink()
        middle = len(lines) // 2
        first, why = self._once(index, lines[:middle], refused)
        second, other = self._once(index, lines[middle:], refused)
        return first + second, why if first else other

    def _sorted_out(
        self, index: str, lines: Sequence[bytes], items: Sequence[dict[str, Any]], refused: list[Refused]
    ) -> tuple[list[bytes], StoreError]:
        if len(items) != len(lines):
            raise StoreError(f"OpenSearch answered for {len(items)} of {len(lines)} documents", retry_after_s=1)
        again, why, plain = list[bytes](), StoreError(""), list[bytes]()
        for line, item in zip(lines, items, strict=True):
            outcome = item["create"]
            status = outcome["status"]
            if status in (200, 201, 409):
                continue
            cause = outcome.get("error") or {}
            error = refusal(status, str(cause.get("type")), str(cause.get("reason")))
            if error.may_pass:
                again.append(line)
                why = error
            elif error.kind == MISSING:
                self.gone.add(index)
            elif error.is_of_all:
                raise error
            elif (plainer_line := plainer(line)) is not None:
                plain.append(plainer_line)
            else:
                refused.append(Refused(index, line, str(error)))
        if plain:
            more, other = self._once(index, plain, refused)
            return again + more, why if again else other
        return again, why

    def close(self) -> None:
        """Let go of what waits. Requests in flight end by themselves; what they bring is there already at a replay."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
