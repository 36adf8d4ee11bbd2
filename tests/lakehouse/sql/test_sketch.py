"""The sketch: its error bound, and that sums do not depend on their order."""

from __future__ import annotations

import math
from collections import Counter

import pyarrow as pa
from deltalake import QueryBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.sql.sketch import ACCURACY, added_up, key_of, key_sql, quantile, value_of

VALUES = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
SHARES = st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0])
quickly = settings(deadline=None, max_examples=100)
LISTS = st.lists(st.lists(st.sampled_from([-3, 0, 1, 2, 50_000]), min_size=1, max_size=6), min_size=1, max_size=5)


@quickly
@given(VALUES)
def test_a_key_stands_for_its_value_within_the_accuracy(value: float) -> None:
    off = abs(value_of(key_of(value)) - value)
    assert off <= ACCURACY * abs(value) * (1 + 1e-9) + 5e-324


@quickly
@given(VALUES, VALUES)
def test_keys_are_ordered_as_their_values(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert key_of(low) <= key_of(high)


@quickly
@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=60), SHARES)
def test_a_quantile_is_within_the_accuracy_of_the_exact_one(values: list[float], share: float) -> None:
    values = [-value for value in values] if len(values) % 2 else values
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    exact = low * (1 - at % 1) + high * (at % 1)

    found = quantile(sorted(map(key_of, values)), [1] * len(values), share, ordered[0], ordered[-1])

    assert abs(found - exact) <= ACCURACY * abs(exact) * (1 + 1e-6)


def test_a_quantile_of_one_value_is_that_value() -> None:
    assert quantile([key_of(5.25)], [9], 0.95, 5.25, 5.25) == 5.25


def lists(rows: list[list[int]], dtype: pa.DataType) -> pa.Array:  # type: ignore[type-arg]  # stubs
    return pa.array(rows, pa.list_(dtype))


@quickly
@given(LISTS, LISTS)
def test_sums_by_key_do_not_depend_on_the_order_of_merges(one: list[list[int]], other: list[list[int]]) -> None:
    rows = [*one, *other]
    keys, counts = added_up(lists(rows, pa.int32()), None)

    for found, n, given_keys in zip(keys.to_pylist(), counts.to_pylist(), rows, strict=True):
        assert dict(zip(found, n, strict=True)) == Counter(given_keys)
        assert found == sorted(found)

    flat_keys, flat_counts = keys.values.to_pylist(), counts.values.to_pylist()
    whole = added_up(lists([flat_keys[::-1]], pa.int32()), lists([flat_counts[::-1]], pa.int64()))
    at_once = added_up(lists([[key for row in rows for key in row]], pa.int32()), None)
    assert [part.to_pylist() for part in whole] == [part.to_pylist() for part in at_once]


def test_the_engine_gives_the_same_keys() -> None:
    values = [0.0, 1.0, -1.0, 5e-324, 1.7e308, -1.7e308, 0.1, 12345.678]
    rows = ", ".join(f"(CAST('{value!r}' AS DOUBLE))" for value in values)
    answer = QueryBuilder().execute(f"SELECT {key_sql('v')} AS k FROM (VALUES {rows}) AS t(v)")
    keys = pa.RecordBatchReader.from_stream(answer).read_all().column("k").to_pylist()

    assert keys == [key_of(value) for value in values]
