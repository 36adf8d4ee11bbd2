"""Ten questions and their truth: corpus lines -> REST queries with the answer a plain Python loop gives."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.corpus import Line, stamp

PAGE = 100
MOST = 10_000
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Question:
    """`expected` is the bodies in order (newest first), cut at `limit`; for other routes see `check`."""

    name: str
    path: str
    params: dict[str, str]
    check: Callable[[dict[str, Any]], str]


@dataclass(slots=True)
class Timed:
    """`wrong` is "" when every answer was right."""

    name: str
    rows: int
    p50_ms: float
    wrong: str
    samples_ms: list[float] = field(default_factory=list)


def _words(line: Line) -> list[str]:
    return _WORD.findall(line.text.lower())


def _has_phrase(line: Line, phrase: str) -> bool:
    return f" {phrase} " in f" {' '.join(_words(line))} "


def _bodies(expected: list[str]) -> Callable[[dict[str, Any]], str]:
    def check(answer: dict[str, Any]) -> str:
        found = [record["body"] for record in answer["records"]]
        return "" if found == expected else f"{len(found)} rows, expected {len(expected)}, or another order"

    return check


def _records(
    name: str, query: str, truth: Callable[[Line], bool], lines: Sequence[Line], limit: int, **params: str
) -> Question:
    hits = (line.text for line in reversed(lines) if truth(line))
    expected = [text for _, text in zip(range(limit), hits, strict=False)]
    return Question(name, "/logs/search", {"q": query, "limit": str(limit), **params}, _bodies(expected))


def _services(lines: Sequence[Line], service: str) -> Question:
    errors = sum(line.level == "ERROR" for line in lines)

    def check(answer: dict[str, Any]) -> str:
        found = [entry for entry in answer["services"] if entry["name"] == service]
        if not found:
            return "service is missing"
        rate = errors / len(lines)
        return (
            "" if abs(found[0]["error_rate"] - rate) < 1e-6 else f"error rate {found[0]['error_rate']}, expected {rate}"
        )

    bounds = {"start": stamp(lines[0].timestamp_ns), "end": stamp(lines[-1].timestamp_ns + 1000)}
    return Question("services, error rate", "/services", bounds, check)


def questions(lines: Sequence[Line], service: str) -> list[Question]:
    """The ten, for records that one agent sent as `service`."""
    return [*_top(lines), *_ranges(lines), _services(lines, service)]


def _top(lines: Sequence[Line]) -> list[Question]:
    """Over the whole corpus, cut at a page."""
    unique = next(line.unique for line in lines[len(lines) // 2 :] if line.unique)
    prefix = unique[:6]
    truths: list[tuple[str, str, Callable[[Line], bool]]] = [
        ("newest 100", "", lambda _: True),
        ("a term that occurs once", unique, lambda line: unique in _words(line)),
        ("a common term, top 100", "timeout", lambda line: "timeout" in _words(line)),
        ("a phrase, top 100", '"exponential delay"', lambda line: _has_phrase(line, "exponential delay")),
        ("a level, top 100", "level:error", lambda line: line.level == "ERROR"),
        ("an attribute", "attributes.order:4711", lambda line: '"order":4711,' in line.text),
        ("a prefix, top 100", f"{prefix}*", lambda line: any(word.startswith(prefix) for word in _words(line))),
    ]
    return [_records(name, query, truth, lines, PAGE) for name, query, truth in truths]


def _ranges(lines: Sequence[Line]) -> list[Question]:
    """Over 0.2 s of event time, in full."""
    start = lines[len(lines) // 2].timestamp_ns
    end = start + 200_000_000
    window = {"start": stamp(start), "end": stamp(end)}

    def within(line: Line) -> bool:
        return start <= line.timestamp_ns < end

    def cache_elsewhere(line: Line) -> bool:
        return within(line) and "cache" in _words(line) and "region" not in _words(line)

    return [
        _records("a time range", "", within, lines, MOST, **window),
        _records("NOT in a time range", "cache NOT region", cache_elsewhere, lines, MOST, **window),
    ]


def ask(client: httpx.Client, question: Question, repeats: int = 7) -> Timed:
    """Ask once cold, then `repeats` times; the median of those, over HTTP."""
    samples: list[float] = []
    wrong, rows = "", 0
    for turn in range(repeats + 1):
        begun = time.perf_counter()
        response = client.get(question.path, params=question.params)
        elapsed = (time.perf_counter() - begun) * 1000
        if response.status_code != 200:
            return Timed(question.name, 0, elapsed, f"{response.status_code}: {response.text[:200]}")
        answer = response.json()
        rows = len(answer.get("records", answer.get("services", [])))
        wrong = wrong or question.check(answer)
        if turn:
            samples.append(elapsed)
    return Timed(question.name, rows, sorted(samples)[len(samples) // 2], wrong, samples)
