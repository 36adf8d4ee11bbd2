"""What passed in any order: repeated ids are counted, however they are spread over batches."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.upkeep.compaction import repeated_ids as seen
from lakehouse.upkeep.compaction.repeated_ids import Seen

Id = tuple[str, str, int, str, int]


def passed(ids: list[Id], traces: list[str] | None = None) -> pa.RecordBatch:
    tenants, producers, epochs, streams, sequences = map(list, zip(*ids, strict=True))
    columns = {
        "tenant": pa.array(tenants).dictionary_encode(),
        "producer": pa.array(producers).dictionary_encode(),
        "stream": pa.array(streams).dictionary_encode(),
        "epoch": pa.array(epochs, pa.int64()),
        "sequence": pa.array(sequences, pa.int64()),
    }
    return pa.RecordBatch.from_pydict({**columns, "trace_id": pa.array(traces or [""] * len(ids))})


@pytest.mark.parametrize("step", [1, 7])
def test_rows_beyond_the_first_of_each_id_are_counted(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MANY_RUNS", 16)
    rng = random.Random(step)
    ids: list[Id] = [
        (tenant, "agent", epoch, stream, number * step)
        for tenant in ("acme", "other")
        for epoch in (1, 2)
        for stream in ("a", "b")
        for number in range(200)
    ]
    doubled = ids + rng.sample(ids, 37) + ids[:3]
    rng.shuffle(doubled)
    one, other = Seen(), Seen()
    for first in range(0, len(doubled), 100):
        (one if first % 200 else other).see(passed(doubled[first : first + 100]))
    one.add(other)

    assert one.repeated == len(doubled) - len(ids) == 40


def test_the_same_number_of_another_stream_or_epoch_is_no_repeat() -> None:
    found = Seen()
    found.see(passed([("acme", "agent", 1, "a", 5), ("acme", "agent", 2, "a", 5), ("acme", "agent", 1, "b", 5)]))
    found.see(passed([("acme", "other", 1, "a", 5), ("other", "agent", 1, "a", 5)]))

    assert found.repeated == 0


def test_trace_ids_are_counted_when_there_are_some() -> None:
    ids: list[Id] = [("acme", "agent", 1, "a", number) for number in range(3)]
    none, some = Seen(), Seen()
    none.see(passed(ids))
    some.see(passed(ids, ["", "aa", "bb"]))

    assert (none.trace_ids, some.trace_ids) == (0, 3)


NUMBERS = st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from("xy"), st.integers(0, 40))


@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=30), min_size=1, max_size=8), st.integers(1, 50))
def test_whatever_passes_is_counted_as_by_a_set(batches: list[list[tuple[str, int, str, int]]], many: int) -> None:
    one, other, ids = Seen(), Seen(), list[Id]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "_MANY_RUNS", many)
        for number, batch in enumerate(batches):
            here: list[Id] = [("acme", producer, epoch, stream, at) for producer, epoch, stream, at in batch]
            ids += here
            (other if number % 3 == 2 else one).see(passed(here))
        one.add(other)

        assert one.repeated == len(ids) - len(set(ids))
        assert one.uncounted == 0


def test_of_too_many_streams_a_share_is_counted_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MANY_RUNS", 100)
    found, other = Seen(most_runs=500), Seen(most_runs=500)
    count = 4_000
    for first in range(0, count, 200):
        ids: list[Id] = [
            ("acme", f"req:{number}", 0, "", line) for number in range(first, first + 200) for line in (0, 1)
        ]
        found.see(passed(ids))
        other.see(passed(ids[::2]))
    found.add(other)

    assert 200 < found.repeated < 3_000
    assert 0 < found.uncounted < count * 3
    assert found.repeated + found.uncounted <= count * 3
    assert len(found._runs[0]) <= 500


def test_numbers_may_be_as_large_as_they_come() -> None:
    found, top = Seen(), (1 << 63) - 2
    found.see(passed([("acme", "p", 0, "", top), ("acme", "p", 0, "", 0), ("acme", "p", 0, "", top)]))
    found.see(passed([("acme", "p", 0, "", 0)]))

    assert found.repeated == 2
