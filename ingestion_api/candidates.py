"""Candidates of a request: lines and faults in order -> a list within the limits of the request."""

from __future__ import annotations

from dataclasses import dataclass, field

from web.body import too_large
from web.problems import Problem

Verdict = tuple[str, str]
_FAULTY = b"?"  # stands for a record that has no JSON form; it is no record, whatever happens to its fault


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all candidates of one request together."""

    records: int
    size_bytes: int


@dataclass(slots=True)
class Candidates:
    """`items` may be forwarded once they are judged; `faults` holds the verdicts on those that cannot be."""

    limits: Limits
    items: list[bytes] = field(default_factory=list)
    faults: dict[int, Verdict] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, line: bytes) -> None:
        """Append one candidate, a JSON text.

        Raises:
            Problem: 413 `too_many_records`, `body_too_large`: a small body can hold many large records.
        """
        self.size_bytes += len(line)
        if len(self.items) >= self.limits.records:
            raise too_many(self.limits.records)
        if self.size_bytes > self.limits.size_bytes:
            raise too_large(self.limits.size_bytes, "as JSON records")
        self.items.append(line)

    def refuse(self, verdict: Verdict) -> None:
        """Append a record that is rejected whatever the rules of its kind are."""
        self.faults[len(self.items)] = verdict
        self.add(_FAULTY)


def too_many(limit: int) -> Problem:
    detail = f"nothing was stored: the body has more than {limit} records; send smaller batches"
    return Problem(413, "too_many_records", detail, limit_records=limit)
