"""A quarter of an hour in a small shop: a seed -> log lines of six services, and facts about them.

The services write typical lines: JSON, logfmt, an access log, plain text. In the middle the payment provider stops
answering for a while: payments time out, checkouts fail. The story knows every count that the demo asks for.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SERVICES = ("web", "catalog", "checkout", "payment", "inventory", "mailer")
STORY_S = 900
INCIDENT_S = (420, 600)  # from, to, in seconds of the story
SLOW_MS = 5000
PRODUCTS = ("kettle", "teapot", "lantern", "compass", "blanket", "thermos", "hammock", "canteen")
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1)", "curl/8.5.0")


@dataclass(frozen=True, slots=True)
class Line:
    """One log line; `at_s` is its time in the story."""

    at_s: float
    service: str
    text: str
    level: str  # "" if the line has no level
    trace_id: str = ""
    duration_ms: int = 0  # of a checkout request
    status: int = 0  # of a request in the access log


@dataclass(frozen=True, slots=True)
class Story:
    """Lines in order of time; the story begins at `start`."""

    start: dt.datetime
    lines: tuple[Line, ...] = field(repr=False)

    @property
    def incident(self) -> tuple[dt.datetime, dt.datetime]:
        """Start inclusive, end exclusive."""
        return (self.start + dt.timedelta(seconds=INCIDENT_S[0]), self.start + dt.timedelta(seconds=INCIDENT_S[1]))

    @property
    def deploy(self) -> dict[str, Any]:
        """The event shortly before the incident, as it is sent. (The provider caused the incident, not the deploy.)"""
        when = self.incident[0] - dt.timedelta(seconds=12)
        attributes = {"version": "2.4.1"}
        event = {"name": "deploy", "body": "payment 2.4.1 is live", "service": "payment", "env": "demo"}
        return {**event, "timestamp": when.isoformat(), "attributes": attributes}

    def by_service(self) -> Counter[str]:
        return Counter(line.service for line in self.lines)

    def errors_in_incident(self) -> Counter[str]:
        first, end = INCIDENT_S
        return Counter(line.service for line in self.lines if line.level == "error" and first <= line.at_s < end)

    def errors(self) -> Counter[str]:
        return Counter(line.service for line in self.lines if line.level == "error")

    def slow_checkouts(self) -> list[Line]:
        return [line for line in self.lines if line.service == "checkout" and line.duration_ms >= SLOW_MS]

    def failed_requests(self) -> int:
        return sum(line.status >= 500 for line in self.lines)

    def failed_trace(self) -> str:
        """A trace id of the incident with lines of several services."""
        paths = Counter(line.trace_id for line in self.lines if line.trace_id and INCIDENT_S[0] <= line.at_s)
        failed = {line.trace_id for line in self.lines if line.service == "payment" and line.level == "error"}
        return max(failed, key=lambda trace: (paths[trace], trace))

    def path_of(self, trace_id: str) -> list[str]:
        """Services that a trace went through, in order, one entry per line."""
        return [line.service for line in self.lines if line.trace_id == trace_id]


def tell(seed: int, start: dt.datetime, visits_per_s: float = 8.0) -> Story:
    """Make the story; the same seed and start give the same story."""
    dice = random.Random(seed)
    writer = _Shop(dice, start)
    lines: list[Line] = []
    at_s = 0.0
    while at_s < STORY_S - 20:  # the last visit ends within the story
        at_s += dice.expovariate(visits_per_s)
        lines += writer.visit(at_s)
    return Story(start, tuple(sorted(lines, key=lambda line: line.at_s)))


class _Shop:
    def __init__(self, dice: random.Random, start: dt.datetime) -> None:
        self._dice = dice
        self._start = start
        self._orders = 48_000

    def visit(self, at_s: float) -> Iterator[Line]:
        """Lines of one visitor, who looks at a product; a quarter of the visitors buy."""
        dice = self._dice
        product = dice.choice(PRODUCTS)
        trace = f"{dice.getrandbits(128):032x}"
        yield self._access(at_s, "GET", f"/products/{product}", 200)
        yield self._catalog(at_s + 0.004, product, trace)
        if dice.random() < 0.25:
            yield from self._purchase(at_s + dice.uniform(1, 5), product, trace)

    def _purchase(self, at_s: float, product: str, trace: str) -> Iterator[Line]:
        dice = self._dice
        self._orders += 1
        order = self._orders
        ill = INCIDENT_S[0] <= at_s < INCIDENT_S[1] - 10 and dice.random() < 0.7
        took_ms = dice.randint(SLOW_MS, SLOW_MS + 900) if ill else dice.randint(40, 400)
        done_s = at_s + took_ms / 1000
        yield self._inventory(at_s + 0.01, product, order, trace)
        yield self._payment(done_s - 0.01, order, trace, took_ms - 20, ill)
        yield self._checkout(done_s, order, trace, took_ms, ill)
        yield self._access(done_s + 0.001, "POST", "/checkout", 502 if ill else 201)
        if not ill:
            yield self._mailer(done_s + 0.3, order)

    def _when(self, at_s: float) -> dt.datetime:
        return self._start + dt.timedelta(seconds=at_s)

    def _iso(self, at_s: float) -> str:
        return self._when(at_s).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _access(self, at_s: float, method: str, path: str, status: int) -> Line:
        dice = self._dice
        address = f"203.0.113.{dice.randint(1, 254)}"
        stamp = self._when(at_s).strftime("%d/%b/%Y:%H:%M:%S +0000")
        request = f'"{method} {path} HTTP/1.1" {status} {dice.randint(300, 9000)}'
        text = f'{address} - - [{stamp}] {request} "-" "{dice.choice(AGENTS)}"'
        return Line(at_s, "web", text, "", status=status)

    def _catalog(self, at_s: float, product: str, trace: str) -> Line:
        luck = self._dice.random()
        level = "error" if luck < 0.002 else "warn" if luck < 0.03 else "info"
        message = {"error": "database timeout", "warn": "cache miss"}.get(level, "product shown")
        text = f'ts={self._iso(at_s)} level={level} msg="{message}" product={product} trace_id={trace}'
        return Line(at_s, "catalog", text, level, trace)

    def _inventory(self, at_s: float, product: str, order: int, trace: str) -> Line:
        left = self._dice.randint(0, 400)
        level = "warn" if left < 8 else "info"
        rest = f"product={product} order={order} left={left} trace_id={trace}"
        text = f'ts={self._iso(at_s)} level={level} msg="stock reserved" {rest}'
        return Line(at_s, "inventory", text, level, trace)

    def _payment(self, at_s: float, order: int, trace: str, took_ms: int, ill: bool) -> Line:
        level = "error" if ill else "info"
        message = "provider timeout: no answer from pay.example.com" if ill else "payment captured"
        return self._json(at_s, "payment", level, message, trace, {"order": order, "provider_ms": took_ms})

    def _checkout(self, at_s: float, order: int, trace: str, took_ms: int, ill: bool) -> Line:
        level = "error" if ill else "info"
        message = "checkout failed: payment unavailable" if ill else "order placed"
        made = self._json(at_s, "checkout", level, message, trace, {"order": order, "duration_ms": took_ms})
        return Line(at_s, "checkout", made.text, level, trace, took_ms)

    def _json(self, at_s: float, service: str, level: str, message: str, trace: str, rest: dict[str, int]) -> Line:
        entry = {"timestamp": self._iso(at_s), "level": level, "message": message, "trace_id": trace, **rest}
        return Line(at_s, service, json.dumps(entry), level, trace)

    def _mailer(self, at_s: float, order: int) -> Line:
        stamp = self._when(at_s).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        worker = self._dice.randint(1, 4)
        return Line(at_s, "mailer", f"{stamp} INFO [worker-{worker}] confirmation of order {order} sent", "info")
