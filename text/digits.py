"""Ranges of numbers -> regular expressions of their digits.

The expressions use only brackets, `|`, `[0-9]`, `*` and `\\-`.
"""

from __future__ import annotations

from collections.abc import Iterator

_HEX = "0123456789abcdef"
_DECIMAL = "0123456789"


def hex_between(low: int, high: int) -> str:
    """A pattern for the 16 hex digits of all numbers from `low` to `high`, both included; `low` <= `high`."""
    return f"({'|'.join(_between(f'{low:016x}', f'{high:016x}', _HEX))})"


def integers_between(low: int | None, high: int | None) -> str:
    """A pattern for all integers from `low` to `high`, both included, in JSON form.

    `low` must not be above `high`. None means no bound on that side.
    """
    parts: list[str] = []
    if high is None or high >= 0:
        parts += naturals_between(max(low or 0, 0), high)
    if low is None or low < 0:
        smallest = 1 if high is None else max(-high, 1)
        parts += [f"\\-{part}" for part in naturals_between(smallest, None if low is None else -low)]
    return f"({'|'.join(parts)})"


def naturals_between(low: int, high: int | None) -> Iterator[str]:
    """Patterns for the integers from `low` (at least 0) to `high`, for each number of digits in turn."""
    most = len(str(low if high is None else high))
    for digits in range(len(str(low)), most + 1):
        first, last = max(low, 10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1
        yield from _between(str(first), str(last if high is None else min(high, last)), _DECIMAL)
    if high is None:
        yield f"[1-9]{'[0-9]' * most}[0-9]*"


def _between(first: str, last: str, alphabet: str) -> Iterator[str]:
    """Patterns for all texts over `alphabet` from `first` to `last`; all have the length of these two."""
    size, top = len(first), len(alphabet) - 1
    shared = next((place for place in range(size) if first[place] != last[place]), size)
    if shared == size:
        yield first
        return
    low, high = (alphabet.index(text[shared]) for text in (first, last))
    if first[shared + 1 :].strip(alphabet[0]):
        yield first
        low += 1
        for place in range(shared + 1, size):
            if up := _digits(alphabet, alphabet.index(first[place]) + 1, top):
                yield first[:place] + up + _whole(alphabet, size - place - 1)
    if last[shared + 1 :].strip(alphabet[top]):
        yield last
        high -= 1
        for place in range(shared + 1, size):
            if down := _digits(alphabet, 0, alphabet.index(last[place]) - 1):
                yield last[:place] + down + _whole(alphabet, size - place - 1)
    if middle := _digits(alphabet, low, high):
        yield first[:shared] + middle + _whole(alphabet, size - shared - 1)


def _whole(alphabet: str, count: int) -> str:
    return f"[{alphabet}]" * count


def _digits(alphabet: str, first: int, last: int) -> str:
    return f"[{alphabet[first : last + 1]}]" if first <= last else ""
