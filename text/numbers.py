"""Numbers: a value or its text -> a number, exact for integers of any size; a number -> text that sorts by value.

A text is a number if it has the form of a JSON number: "007" and "+5" are texts. Whole numbers, also "1.0", are `int`;
all others are `float`. Python compares `int` and `float` exactly, so 2^53 and 2^53 + 1 are never equal.
"""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache

Number = int | float
EXACT = (1 << 53) - 1  # every integer up to this one has a double of its own
LARGEST = 1.7976931348623157e308  # the largest double
PATTERN = r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?"
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,39}))(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_STARTS = frozenset("-0123456789")


def number_in(text: str) -> Number | None:
    """`text` as a number; None: it is no number, or a fraction or power of ten beyond the largest double."""
    match = _NUMBER.fullmatch(text) if text[:1] in _STARTS else None
    if match is None:
        return None
    whole, fraction, exponent = match.groups()
    if exponent is None and (fraction is None or not fraction.strip(".0")):
        return int(whole)
    number = float(text)
    return number if math.isfinite(number) else None


def number_of(value: object) -> Number | None:
    """`value` as a number: an `int`, a finite `float` or a text that is a number; None for all others, also bool."""
    kind = type(value)
    if kind is str:
        return number_in(value)  # type: ignore[arg-type]  # mypy does not narrow by `kind`
    if kind is int:
        return value  # type: ignore[return-value]
    return value if kind is float and math.isfinite(value) else None  # type: ignore[arg-type, return-value]


def as_double(number: Number) -> float:
    """The nearest double; infinity for a number beyond the largest double."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def is_sure(double: float) -> bool:
    """True if `double` stands for exactly one integer, so that comparing doubles is exact."""
    return -EXACT <= double <= EXACT


def sortable_bits(number: float) -> int:
    """A double as an unsigned 64-bit integer; the integers sort in the order of the doubles."""
    bits: int = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]  # + 0.0 turns -0.0 into 0.0
    return bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63


@lru_cache(maxsize=65_536, typed=True)
def sortable(number: Number) -> str:
    """The nearest double of `number` as 16 hex digits; these texts sort in the order of the numbers."""
    return f"{sortable_bits(as_double(number)):016x}"
