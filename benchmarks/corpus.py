"""The corpus: a seed -> log lines of eleven services with known truth.

Deterministic: the same seed and count give the same bytes. About 270 B a line; services are heavy-tailed (Zipf), 5 % of
the lines carry a token that occurs once in the corpus, and time runs in bursts. Every line has a timestamp of its own,
so that "the newest 100" is one well-defined list.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

BASE_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
SERVICES = (
    "gateway",
    "checkout",
    "catalog",
    "payment",
    "search",
    "inventory",
    "auth",
    "mailer",
    "recommender",
    "billing",
    "cron",
)
WEIGHTS = tuple(1 / rank for rank in range(1, len(SERVICES) + 1))
LEVELS = ("INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "DEBUG", "DEBUG", "WARN", "ERROR")
SENTENCES = (
    "request finished and the response was sent to the client without any retry or fallback being necessary, "
    "see the runbook for what the fields mean",
    "cache miss, the value was loaded from the primary database and stored for the next three hundred seconds, "
    "hits are counted by region and by shard",
    "connection pool is close to its limit, new requests wait for a free connection before they are served, "
    "raise the limit when this lasts longer than a minute",
    "upstream timeout while waiting for the payment provider, the attempt will be repeated with exponential delay, "
    "the order stays open until it is settled",
    "background job picked up from the queue and started on this worker, "
    "the lease is extended every ten seconds, a lost lease hands it to the next worker in line",
    "configuration reloaded from disk after a change was seen, two values differ from the ones that were in use, "
    "the old values are kept for one more generation",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line and what is true of it. `unique` is its once-only token, or ""."""

    number: int
    timestamp_ns: int
    service: str
    level: str
    text: str
    unique: str


def stamp(timestamp_ns: int) -> str:
    """RFC 3339 with microseconds."""
    moment = dt.datetime.fromtimestamp(timestamp_ns // 1_000_000_000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp_ns // 1000 % 1_000_000:06d}Z"


def _plain(now: str, level: str, service: str, rng: random.Random, tail: str) -> str:
    sentence = SENTENCES[rng.randrange(len(SENTENCES))]
    ids = f"request={rng.getrandbits(24):06x} user=u-{rng.randrange(5000)} worker={rng.randrange(32)}"
    cost = f"took {rng.randrange(1, 2000)} ms and used {rng.randrange(64)} MiB"
    return f"{now} {level} [{service}] {sentence} {ids} {cost}{tail}"


def _json(now: str, level: str, _service: str, rng: random.Random, tail: str) -> str:
    sentence = SENTENCES[rng.randrange(len(SENTENCES))]
    return (
        f'{{"time":"{now}","level":"{level.lower()}","msg":"{sentence}{tail}","user":"u-{rng.randrange(5000)}",'
        f'"order":{rng.randrange(100000)},"duration_ms":{rng.randrange(1, 2000)},"region":"eu-{rng.randrange(4)}"}}'
    )


def _logfmt(now: str, level: str, service: str, rng: random.Random, tail: str) -> str:
    sentence = SENTENCES[rng.randrange(len(SENTENCES))]
    return (
        f'ts={now} level={level.lower()} component={service} msg="{sentence}{tail}" user=u-{rng.randrange(5000)} '
        f"attempt={rng.randrange(5)} shard={rng.randrange(16)} duration_ms={rng.randrange(1, 2000)}"
    )


_FORMS = {"checkout": _json, "search": _json, "catalog": _logfmt, "billing": _logfmt, "gateway": _plain}


def lines(count: int, seed: int = 1, base_ns: int = BASE_NS) -> Iterator[Line]:
    """`count` lines in order of time, from `base_ns` on."""
    rng = random.Random(seed)
    now_ns = base_ns
    cumulative = list(itertools.accumulate(WEIGHTS))
    for number in range(count):
        now_ns += rng.randrange(1_000, 40_000) if number % 5000 < 1500 else rng.randrange(100_000, 2_000_000)
        now_ns -= now_ns % 1000
        service = rng.choices(SERVICES, cum_weights=cumulative)[0]
        level = LEVELS[rng.randrange(len(LEVELS))]
        unique = f"tok{number:x}x{rng.getrandbits(40):010x}" if rng.random() < 0.05 else ""
        form = _FORMS.get(service, _plain)
        text = form(stamp(now_ns), level, service, rng, f" {unique}" if unique else "")
        yield Line(number, now_ns, service, level, text, unique)
