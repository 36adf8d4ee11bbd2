"""Breakers around the bus, one for each topic: failures in a row -> appends refused at once, until a trial succeeds.

    closed ──(HEADWATER_INGEST_BREAKER_FAILURES in a row)──► open ──(…_OPEN_S)──► half-open: one append is tried
       ▲                                                      ▲                       │
       └──────────────── it succeeded ────────────────────────┴── it failed ──────────┘

A failure is an append that the bus did not confirm: the bus is away, full, or silent past the deadline. A message that
is too large does not count, as its sender is at fault. A failing topic does not affect the others.
pybreaker keeps the state and the count. Appends run outside of pybreaker, which would hold its lock during an append
and so admit one at a time. Pauses are measured here, as pybreaker uses the wall clock, which may be set back.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import pybreaker

from contracts.bus import Bus
from contracts.errors import BusError, BusFull, OutcomeUnknown, TooLarge
from contracts.messages import Message
from contracts.own_logs import event
from contracts.settings import Settings
from ingestion_api.counters import Counters
from web.problems import Problem

log = logging.getLogger("headwater.ingestion")

CLOSED, OPEN, HALF_OPEN = pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN


class GuardedBus:
    """`append` of a bus behind breakers. Thread-safe; a successful append takes no lock."""

    def __init__(
        self, bus: Bus, settings: Settings, counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = functools.partial(GuardedTopic, bus, settings, counters, clock)
        self._making = threading.Lock()
        self._topics: dict[str, GuardedTopic] = {}

    def append(self, topic: str, key: str, messages: Sequence[Message], timeout_s: float) -> Sequence[int]:
        """As `GuardedTopic.append`."""
        return self._of(topic).append(key, messages, timeout_s)

    def check(self, topic: str) -> None:
        """As `GuardedTopic.check`."""
        self._of(topic).check()

    def reason(self) -> str:
        """Reason why all topics used so far refuse appends now; "" if at least one topic admits the next append."""
        reasons = [topic.reason() for topic in list(self._topics.values())]
        return "; ".join(reasons) if all(reasons) else ""

    def _of(self, topic: str) -> GuardedTopic:
        with self._making if topic not in self._topics else contextlib.nullcontext():
            if topic not in self._topics:
                self._topics[topic] = self._make(topic)
            return self._topics[topic]


class GuardedTopic:
    """`append` to one topic behind its breaker."""

    def __init__(
        self, bus: Bus, settings: Settings, counters: Counters, clock: Callable[[], float], topic: str
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._counters = counters
        self._clock = clock
        self._open_s = settings.ingest_breaker_open_s
        self._lock = threading.Lock()
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=settings.ingest_breaker_failures, throw_new_error_on_trip=False, listeners=[_Listener(self)]
        )
        self._period = 0  # +1 at each change of state; results of appends of an earlier period do not count
        self._due_s = 0.0  # open: time of the next trial; half-open: deadline of the present trial
        self._last = ""  # the last failure, in words
        counters.breaker_state.labels(topic).state(CLOSED)

    def append(self, key: str, messages: Sequence[Message], timeout_s: float) -> Sequence[int]:
        """As `contracts.bus.Bus.append`.

        Raises:
            Problem: 503 `bus_unavailable` at once: the breaker is open, nothing was stored.
            BusError: As `contracts.bus.Bus.append`.
        """
        period = self._period  # read before the state: if it changes in between, this result does not count
        tried = self._breaker.current_state != CLOSED
        if tried:
            period = self._admit(timeout_s)
        try:
            left_s = timeout_s - self._ask(timeout_s) if tried else timeout_s
            offsets = self._bus.append(self._topic, key, messages, timeout_s=left_s)
        except TooLarge:
            self._note_success(period)  # the bus has answered
            raise
        except Exception as error:  # an unexpected error of an adapter is a failure too
            self._note_failure(period, error)
            raise
        if self._breaker.fail_counter or self._breaker.current_state != CLOSED:
            self._note_success(period)
        return offsets

    def check(self) -> None:
        """Refuse a request before its body is read, if its append would be refused.

        Raises:
            Problem: 503 `bus_unavailable`.
        """
        if self._breaker.current_state != CLOSED and self._clock() < self._due_s:
            self._refuse()

    def reason(self) -> str:
        """Reason why appends are refused now; "" if the next append is admitted.

        The service counts as ready once a trial is due: clients that wait for readiness would otherwise never send one.
        """
        state, left_s = self._breaker.current_state, self._due_s - self._clock()
        if state == CLOSED or left_s <= 0:
            return ""
        then = "a trial request is running" if state == HALF_OPEN else f"the next trial is in {left_s:.1f} s"
        return f"the bus failed, {then}: {self._last}"

    def _admit(self, timeout_s: float) -> int:
        """The period in which the outcome of this append counts."""
        with self._lock:
            if self._breaker.current_state != CLOSED:
                if self._clock() < self._due_s:
                    self._refuse()
                self._breaker.half_open()
                self._due_s = self._clock() + timeout_s + self._open_s  # without an answer by then, admit another trial
            return self._period

    def _ask(self, timeout_s: float) -> float:
        """Check that the bus answers before a trial append is sent; return the seconds that the answer took."""
        began_s = self._clock()
        self._bus.extents(self._topic)
        if (took_s := self._clock() - began_s) >= timeout_s:
            raise BusError(f"the bus took {took_s:.1f} s to answer", retry_after_s=1)
        return took_s

    def _refuse(self) -> NoReturn:
        self._counters.refused_appends.inc()
        left_s = self._due_s - self._clock() if self._breaker.current_state == OPEN else 1
        detail = f"nothing was stored: the bus is not available ({self._last}); send the request again later"
        raise Problem(503, "bus_unavailable", detail, headers={"Retry-After": str(max(1, math.ceil(left_s)))})

    def _note_failure(self, period: int, error: Exception) -> None:
        self._counters.failed_appends.labels(_kind_of(error)).inc()
        with self._lock:
            if period == self._period:
                self._last = str(error) or type(error).__name__
                self._report(_fail)

    def _note_success(self, period: int) -> None:
        with self._lock:
            if period == self._period:
                self._report(_succeed)

    def _report(self, outcome: Callable[[], None]) -> None:
        with contextlib.suppress(_Failed):
            self._breaker.call(outcome)

    def changed(self, before: str, now: str) -> None:
        """Record a change of the breaker's state. Called under the lock, like every change."""
        self._period += 1
        if now == OPEN:
            self._due_s = self._clock() + self._open_s
        self._counters.breaker_state.labels(self._topic).state(now)
        self._counters.breaker_changes.labels(now, self._topic).inc()
        level = logging.WARNING if now == OPEN else logging.INFO
        fields = {"topic": self._topic, "state": now, "before": before, "reason": self._last}
        event(log, level, "bus_breaker", {**fields, "failures": self._breaker.fail_counter})


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, guarded: GuardedTopic) -> None:
        self._guarded = guarded

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,  # noqa: ARG002  (the library's signature)
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._guarded.changed(old_state.name if old_state else "", new_state.name)


class _Failed(Exception):
    """Represents an append's error to pybreaker; the append itself raises the real error."""


def _fail() -> None:
    raise _Failed


def _succeed() -> None:
    pass


def _kind_of(error: Exception) -> str:
    if isinstance(error, BusFull):
        return "full"
    return "outcome_unknown" if isinstance(error, OutcomeUnknown) else "unavailable"
