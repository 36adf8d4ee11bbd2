"""Python values -> SQL literals. The lake's engine has no bind parameters: this is the only place that quotes."""

from __future__ import annotations

import datetime as dt

from contracts.errors import QueryError
from lakehouse.conditions import NumberRange
from text.numbers import as_double, is_sure

TRUE, FALSE = "TRUE", "FALSE"
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def text_literal(value: str) -> str:
    """`value` as a SQL string; nothing in it is special to the engine but the quote, which is doubled.

    Raises:
        QueryError: The value holds a lone surrogate and is no text.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise QueryError("a value of the query is not valid Unicode", code="bad_value") from error
    return "'" + value.replace("'", "''") + "'"


def time_literal(us: int) -> str:
    """Microseconds since the epoch as the type of the time columns; folded to a constant, so files are pruned by it."""
    clamped = min(max(us, _LOWEST), _HIGHEST)
    return f"arrow_cast({clamped}, 'Timestamp(Microsecond, Some(\"UTC\"))')"


def day_literal(day: dt.date) -> str:
    return f"DATE '{day.isoformat()}'"


def double_literal(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"  # also NaN and the infinities


def between(value: str, low: str | None, high: str | None, with_low: bool, with_high: bool) -> str:
    """The text bounds on the SQL expression `value`; TRUE without any."""
    parts = []
    if low is not None:
        parts.append(f"{value} {'>=' if with_low else '>'} {text_literal(low)}")
    if high is not None:
        parts.append(f"{value} {'<=' if with_high else '<'} {text_literal(high)}")
    return f"({' AND '.join(parts)})" if parts else TRUE


def double_bounds(value: str, wanted: NumberRange, surely: bool) -> list[str]:
    """The bounds on a double that is the nearest to a number: such that the number is inside `surely`, or possibly.

    To the engine -0.0 is less than 0.0.
    """
    parts = [f"{value} IS NOT NULL"]
    if wanted.low is not None:
        low = as_double(wanted.low)
        meets = wanted.with_low if is_sure(low) and low == wanted.low else not surely
        parts.append(
            f"{value} {'>=' if meets else '>'} {double_literal((-0.0 if meets else 0.0) if low == 0 else low)}"
        )
    if wanted.high is not None:
        high = as_double(wanted.high)
        meets = wanted.with_high if is_sure(high) and high == wanted.high else not surely
        parts.append(
            f"{value} {'<=' if meets else '<'} {double_literal((0.0 if meets else -0.0) if high == 0 else high)}"
        )
    return parts
