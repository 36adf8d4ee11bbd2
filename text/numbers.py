"""Numbers: a value or its text -> one number, exact for integers of any size, and text that sorts as numbers do.

A text is a number when JSON would write it so: "007" and "+5" are texts. Whole numbers are `int`, "1.0" too; the rest
are doubles. Python compares the two exactly, so 2^53 and 2^53 + 1 are never one.
"""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache

Number = int | float
EXACT = (1 << 53) - 1  # integers up to here are doubles of their own
LARGEST = 1.7976931348623157e308  # the largest double
PATTERN = r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?"
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,39}))(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_STARTS = frozenset("-0123456789")


def number_in(text: str) -> Number | None:
    """The number that `text` is, or None; what is beyond the doubles, and no integer, is none."""
    match = _NUMBER.fullmatch(text) if text[:1] in _STARTS else None
    if match is None:
        return None
    whole, fraction, exponent = match.groups()
    if exponent is None and (fraction is None or not fraction.strip(".0")):
        return int(whole)
    number = float(text)
    return number if math.isfinite(number) else None


def number_of(value: object) -> Number | None:
    """The number that a value is: itself (true and false are none), or that of its text."""
    kind = type(value)
    if kind is str:
        return number_in(value)  # type: ignore[arg-type]  # mypy does not read the line above
    if kind is int:
        return value  # type: ignore[return-value]
    return value if kind is float and math.isfinite(value) else None  # type: ignore[arg-type, return-value]


def as_double(number: Number) -> float:
    """The nearest double; beyond the largest, infinity."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def is_sure(double: float) -> bool:
    """Whether every number whose nearest double is `double` is that number."""
    return -EXACT <= double <= EXACT


def sortable_bits(number: float) -> int:
    """A double as 64 bits in the order of numbers."""
    bits: int = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]  # + 0.0 makes -0.0 and 0.0 one
    return bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63


@lru_cache(maxsize=65_536, typed=True)
def sortable(number: Number) -> str:
    """A number, as its nearest double, in 16 hex digits that sort as numbers do."""
    return f"{sortable_bits(as_double(number)):016x}"
