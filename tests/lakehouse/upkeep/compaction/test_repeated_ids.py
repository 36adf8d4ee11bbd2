"""What passed in any order: repeated ids are counted, however they are spread over batches."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

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
