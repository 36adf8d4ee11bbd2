"""Python values -> SQL literals. The lake's engine has no bind parameters: this is the only place that quotes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from contracts.errors import QueryError
from contracts.query import Range

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


def between(node: Range, value: str, literal: Callable[[str | int | float], str]) -> str:
    """The bounds of `node` on the SQL expression `value`; TRUE without any."""
    parts = []
    if node.low is not None:
        parts.append(f"{value} {'>=' if node.include_low else '>'} {literal(node.low)}")
    if node.high is not None:
        parts.append(f"{value} {'<=' if node.include_high else '<'} {literal(node.high)}")
    return f"({' AND '.join(parts)})" if parts else "TRUE"
