"""Blocks end where the time jumps, so that a question for a short time reads few of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.messages import Kind
from lakehouse.hot.tantivy.block import ROWS, Blocks
from lakehouse.hot.tantivy.cuts import cuts
from tests.lakehouse.lake_samples import NOON_NS, batch, log

S = 10**9
HOUR_NS = 3600 * S


def lengths(times: list[int]) -> list[int]:
    return [part.stop - part.start for part in cuts(times, ROWS)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=400), st.integers(1, 10**12))
@settings(deadline=None)
def test_the_parts_are_every_row_once_in_order_and_never_too_large(found: list[int], unit_ns: int) -> None:
    times = [time * unit_ns for time in found]

    parts = [times[part] for part in cuts(times, ROWS)]
    assert [time for part in parts for time in part] == times
    assert all(1 <= len(part) <= ROWS for part in parts)
    assert len(parts) <= len(times) // 8 + 1


def test_times_that_run_on_are_cut_by_number_alone() -> None:
    chance = random.Random(1)
    for pace_ns in (1000, S, HOUR_NS):
        times = [NOON_NS + n * pace_ns + chance.randrange(pace_ns) for n in range(300)]
        assert lengths(times) == [64, 64, 64, 64, 44]


def test_a_jump_ends_a_block_and_the_next_one_begins_behind_it() -> None:
    times = [NOON_NS + n * S // 10 for n in range(100)] + [NOON_NS + HOUR_NS + n * S // 10 for n in range(100)]
    assert lengths(times) == [64, 36, 64, 36]


@pytest.mark.parametrize("gap_ns", [5 * S, HOUR_NS])
def test_single_rows_of_another_time_cut_nothing(gap_ns: int) -> None:
    times = [NOON_NS + n * S // 100 + (gap_ns if n % 10 == 9 else 0) for n in range(200)]
    assert lengths(times) == [64, 64, 64, 8]


@pytest.mark.parametrize("rows", [100, 3924])
def test_a_batch_of_many_files_has_few_blocks_for_one_instant(rows: int) -> None:
    """Eleven files that an agent reads by turns, each at another hour of the day."""
    blocks, documents = Blocks(Kind.LOGS), []
    times = [NOON_NS + (n // 350 % 11) * HOUR_NS + n * S // 10 for n in range(20_000)]
    for offset, start in enumerate(range(0, len(times), rows)):
        lines = [log(index, "x", at_ns) for index, at_ns in enumerate(times[start : start + rows])]
        documents += blocks.add(batch(*lines, offset=offset))
    documents += blocks.rest()

    spans = [(int(one.get_first("first_ns") or 0), int(one.get_first("last_ns") or 0)) for one in documents]
    instant = NOON_NS + 5 * HOUR_NS + HOUR_NS // 2  # between two files
    assert sum(first <= instant <= last for first, last in spans) == 0
    assert len(documents) <= 1.2 * len(times) / ROWS
