"""Sketch: values -> counts by bucket, from which quantiles are told within `ACCURACY` of the value, and that add up.

A DDSketch with a bucket for every power of `GAMMA`. A bucket's key is one integer and keys are ordered as the values
are: 0 holds zeros, above it the positive values, below it the negative ones. Merging is adding counts by key, so the
order of merges does not matter. No bucket is ever given up: the bound holds for every quantile.

Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
Guarantees", PVLDB 12(12), 2019, https://arxiv.org/abs/1908.10693
"""

from __future__ import annotations

import bisect
import itertools
import math
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LN_GAMMA = math.log(GAMMA)
_MIDDLE = math.log(2 / (1 + GAMMA))  # from a bucket's upper end to where both ends are equally far off
_OFFSET = 40_000  # the smallest double has index -37,222: every positive value has a positive key


def key_sql(value: str) -> str:
    """The key of the SQL expression `value`, a finite DOUBLE, as INT."""
    index = f"(ceil(ln(abs({value})) / {_LN_GAMMA!r}) + {_OFFSET})"
    return f"CAST(CASE WHEN {value} > 0 THEN {index} WHEN {value} < 0 THEN -{index} ELSE 0 END AS INT)"


def key_of(value: float) -> int:
    """What `key_sql` gives."""
    if value == 0:
        return 0
    index = math.ceil(math.log(abs(value)) / _LN_GAMMA) + _OFFSET
    return index if value > 0 else -index


def value_of(key: int) -> float:
    """A value at most `ACCURACY` from all that have this key."""
    if key == 0:
        return 0.0
    power = (abs(key) - _OFFSET) * _LN_GAMMA + _MIDDLE
    return math.copysign(math.exp(min(power, math.log(sys.float_info.max))), key)


def quantile(
    keys: Sequence[int], counts: Sequence[int], share: float, low: float = -math.inf, high: float = math.inf
) -> float:
    """The value below which `share` (0 to 1) of the values lie, linear between the nearest ranks as of exact answers.

    Args:
        keys: Ascending, at least one; a key may stand several times.
        counts: Of each.
        low, high: The smallest and the largest value, where known; the answer lies between them.
    """
    ends = list(itertools.accumulate(counts))
    rank = share * (ends[-1] - 1)
    below, above = (
        min(max(value_of(keys[bisect.bisect_right(ends, place)]), low), high)
        for place in (math.floor(rank), math.ceil(rank))
    )
    part = rank - math.floor(rank)
    return below * (1 - part) + above * part


def added_up(keys: Any, counts: Any | None) -> tuple[Any, Any]:
    """Lists of keys and of their counts (None: 1 each), of a row each -> the same added up by key, keys ascending.

    Every row has at least one key.
    """
    key = pc.list_flatten(keys)
    n = pa.repeat(pa.scalar(1, pa.int64()), len(key)) if counts is None else pc.list_flatten(counts)
    flat = pa.table({"row": pc.list_parent_indices(keys), "key": key, "n": n})
    found = (
        flat.group_by(["row", "key"]).aggregate([("n", "sum")]).sort_by([("row", "ascending"), ("key", "ascending")])
    )
    ends = pc.run_end_encode(found.column("row").combine_chunks()).run_ends  # type: ignore[attr-defined]  # stubs
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    added = [pa.ListArray.from_arrays(offsets, found.column(name).combine_chunks()) for name in ("key", "n_sum")]
    return added[0], added[1]
