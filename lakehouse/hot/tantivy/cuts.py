"""Times of rows in their order -> the parts of them that become blocks: where the time jumps, a block ends early.

A question for a short time reads every block whose first and last time are on both sides of it. A batch often holds
rows of several times, as when an agent catches up with many files: a block with rows of two files would be read for
each question about the hours between. Rows are not sorted by time: lines of one file are alike, and blocks of lines
that are not cost more to index.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

_NARROW_NS = 10_000_000_000  # a block that spans less is in the way of few questions
_SAVED = 4  # a block ends early where both sides together span at most this part of the time
_FEWEST = 8  # rows of a block that ends early: each block costs the index a document


def cuts(times: Sequence[int], size: int) -> Iterator[slice]:
    """Parts of at most `size`, one after the other; `times` in nanoseconds."""
    is_narrow = _span(times) <= _NARROW_NS
    start = 0
    while start < len(times):
        end = min(start + size, len(times)) if is_narrow else start + _length(times[start : start + size])
        yield slice(start, end)
        start = end


def _length(times: Sequence[int]) -> int:
    """How many of `times` belong into one block."""
    span = _span(times)
    if span <= _NARROW_NS or len(times) < _FEWEST:
        return len(times)
    jumps = list(map(abs, map(operator.sub, times[1:], times)))
    at = jumps.index(max(jumps)) + 1
    saves = (_span(times[:at]) + _span(times[at:])) * _SAVED <= span
    return at if saves and at >= _FEWEST else len(times)


def _span(times: Sequence[int]) -> int:
    return max(times) - min(times)
