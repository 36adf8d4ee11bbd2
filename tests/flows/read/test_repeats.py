"""Repeats are told by headers alone: whole, in part, or not at all."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import BatchHeader
from flows.read.repeats import HOUR_NS, Repeats
from tests.flows.messages import ARRIVAL_NS, header


def repeated(repeats: Repeats, head: BatchHeader) -> int:
    """How many lines of the batch are repeats."""
    return head.span - sum(map(len, repeats.fresh(head))) if head.span > 0 else 0


def memory(keys: int = 1000, streams: int = 1000) -> Repeats:
    return Repeats(stream_h=72, key_h=24, keys=keys, streams=streams)


def test_a_batch_that_was_seen_is_a_repeat_in_whole() -> None:
    repeats = memory()
    assert repeated(repeats, header(sequence=0, span=10, count=10)) == 0
    assert repeated(repeats, header(sequence=0, span=10, count=10)) == 10
    assert repeated(repeats, header(sequence=2, span=3, count=3)) == 3


def test_of_a_batch_that_overlaps_the_first_lines_are_repeats() -> None:
    repeats = memory()
    repeated(repeats, header(sequence=0, span=10, count=10))

    assert repeated(repeats, header(sequence=6, span=10, count=10)) == 4
    assert repeated(repeats, header(sequence=16, span=1)) == 0


def test_a_gap_is_taken_and_counted() -> None:
    repeats = memory()
    repeated(repeats, header(sequence=0, span=10, count=10))

    assert repeated(repeats, header(sequence=50, span=5, count=5)) == 0
    assert repeats.gaps == 1


def test_a_gap_that_is_filled_later_is_taken_once() -> None:
    repeats = memory()
    sequences = (0, 20, 10, 10, 20, 0, 40, 35, 30, 30, 28)
    spans = (10, 10, 10, 10, 10, 10, 10, 5, 5, 10, 20)
    skips = [repeated(repeats, header(sequence=at, span=n, count=n)) for at, n in zip(sequences, spans, strict=True)]
    assert skips == [0, 0, 0, 10, 10, 10, 0, 0, 0, 10, 20]


def test_the_beginning_of_a_stream_may_come_second() -> None:
    repeats = memory()
    assert repeated(repeats, header(sequence=10, span=10, count=10)) == 0
    assert repeated(repeats, header(sequence=0, span=10, count=10)) == 0
    assert repeated(repeats, header(sequence=0, span=10, count=10)) == 10
    assert repeated(repeats, header(sequence=10, span=10, count=10)) == 10


def test_a_batch_that_runs_from_what_was_seen_into_a_gap_gives_its_new_lines() -> None:
    repeats = memory()
    repeated(repeats, header(sequence=0, span=10, count=10))
    repeated(repeats, header(sequence=20, span=10, count=10))
    assert repeated(repeats, header(sequence=5, span=15, count=15)) == 5
    assert repeated(repeats, header(sequence=5, span=15, count=15)) == 15


def test_a_clock_that_is_set_back_makes_nothing_forgotten() -> None:
    repeats = memory()
    repeated(repeats, header(stream="s", received_ns=ARRIVAL_NS))
    repeated(repeats, header(stream="s", sequence=1, received_ns=ARRIVAL_NS - 100 * HOUR_NS))
    assert repeated(repeats, header(stream="s", sequence=1, received_ns=ARRIVAL_NS)) == 1


def test_streams_epochs_producers_and_tenants_are_apart() -> None:
    repeats = memory()
    for tenant, producer, epoch, stream in itertools.product(("a", "b"), ("p", "q"), (0, 1), ("s", "t")):
        assert repeated(repeats, header(tenant=tenant, producer=producer, epoch=epoch, stream=stream)) == 0
        assert repeated(repeats, header(tenant=tenant, producer=producer, epoch=epoch, stream=stream)) == 1


def test_a_key_stands_for_its_whole_request_however_many_lines_come_the_second_time() -> None:
    repeats = memory()
    assert repeated(repeats, header(producer="key:k", span=3, count=3)) == 0
    assert repeated(repeats, header(producer="key:k", span=5, count=5)) == 5


def test_a_request_without_sequence_or_key_that_the_bus_doubled_is_one_also_in_parts() -> None:
    repeats = memory()
    whole = header(producer="req:a", stream="", span=4, count=4)
    parts = [header(producer="req:b", stream=f"from {at}", sequence=at, span=2, count=2) for at in (0, 2)]
    assert [repeated(repeats, head) for head in (whole, *parts, whole, *parts)] == [0, 0, 0, 4, 2, 2]


def test_a_key_is_forgotten_after_its_hours_by_the_clock_of_the_messages() -> None:
    repeats = memory()
    repeated(repeats, header(producer="key:k"))

    assert repeated(repeats, header(producer="key:k", received_ns=ARRIVAL_NS + 24 * HOUR_NS)) == 1
    assert repeated(repeats, header(producer="key:k", received_ns=ARRIVAL_NS + 24 * HOUR_NS + 1)) == 0


def test_of_too_many_keys_the_oldest_go_first() -> None:
    repeats = memory(keys=2)
    for name in ("a", "b", "c"):
        repeated(repeats, header(producer=f"key:{name}"))

    assert repeated(repeats, header(producer="key:c")) == 1
    assert repeated(repeats, header(producer="key:b")) == 1
    assert repeated(repeats, header(producer="key:a")) == 0
    assert repeats.keys_pushed_out == 2


def test_of_too_many_streams_the_oldest_go_first_and_are_counted() -> None:
    repeats = memory(streams=2)
    for name in ("a", "b", "a", "c"):
        repeats.fresh(header(stream=name))

    assert repeats.streams_pushed_out == 1
    assert [repeated(repeats, header(stream=name)) for name in ("c", "a")] == [1, 1]
    assert repeated(repeats, header(stream="b")) == 0
    assert repeats.streams_pushed_out == 2


def test_of_streams_with_too_many_holes_the_oldest_go_too() -> None:
    repeats = memory(streams=4)
    for name in ("a", "b", "c"):
        for sequence in range(1, 11, 2):
            repeats.fresh(header(stream=name, sequence=sequence))

    assert repeats.streams_pushed_out == 2
    assert repeated(repeats, header(stream="c", sequence=9)) == 1


def test_a_stream_is_forgotten_when_the_bus_has_forgotten_it() -> None:
    repeats = memory()
    repeated(repeats, header(stream="old"))
    repeated(repeats, header(stream="new", received_ns=ARRIVAL_NS + 73 * HOUR_NS))

    assert repeated(repeats, header(stream="old", received_ns=ARRIVAL_NS + 73 * HOUR_NS)) == 0


def test_a_foreign_message_is_never_a_repeat() -> None:
    repeats = memory()
    foreign = header(producer="bus:logs.raw:0", stream="7", span=-1, count=-1)
    assert [repeated(repeats, foreign), repeated(repeats, foreign)] == [0, 0]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=40))
def test_whatever_is_sent_in_whatever_order_each_sequence_number_passes_once(sent: list[tuple[int, int]]) -> None:
    repeats = memory()
    passed: list[int] = []
    for sequence, span in sent:
        for lines in repeats.fresh(header(sequence=sequence, span=span, count=span)):
            passed += [sequence + line for line in lines]

    assert sorted(passed) == sorted({number for sequence, span in sent for number in range(sequence, sequence + span)})


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=20), st.integers(0, 20))
def test_state_rebuilt_from_headers_decides_like_the_state_that_ran(sent: list[tuple[int, int]], start: int) -> None:
    headers = [header(sequence=sequence, span=span, count=span) for sequence, span in sent]
    ran, rebuilt = memory(), memory()
    decisions = [ran.fresh(head) for head in headers]
    for head in headers[:start]:
        rebuilt.fresh(head)

    assert [rebuilt.fresh(head) for head in headers[start:]] == decisions[start:]


SENT = st.lists(
    st.tuples(st.sampled_from(["s", "t", "u", "v", "key:"]), st.integers(0, 30), st.integers(1, 9), st.integers(0, 30)),
    max_size=40,
)


def heads(sent: list[tuple[str, int, int, int]]) -> list[BatchHeader]:
    """Of some streams and keys, over 90 hours and with times that jump back."""
    return [
        header(
            producer=f"key:{at}" if name == "key:" else "agent",
            stream="" if name == "key:" else name,
            sequence=0 if name == "key:" else at,
            span=span,
            count=span,
            received_ns=ARRIVAL_NS + hour * 3 * HOUR_NS,
        )
        for name, at, span, hour in sent
    ]


@given(SENT, SENT, st.lists(st.integers(1, 40)), st.integers(0, 5))
def test_a_state_that_takes_what_was_learned_is_the_state_that_ran(
    sent: list[tuple[str, int, int, int]], later: list[tuple[str, int, int, int]], cuts: list[int], again: int
) -> None:
    ran, taken = memory(keys=5, streams=3), memory(keys=5, streams=3)
    told = []
    for number, head in enumerate(heads(sent), 1):
        ran.fresh(head)
        if number in cuts:
            told.append(ran.learned())
    told.append(ran.learned())
    for learned in told[: len(told) // 2 + again]:  # a piece that reaches back over what is known changes nothing
        taken.take(learned)
    for learned in told[len(told) // 2 :]:
        taken.take(learned)

    assert [taken.fresh(head) for head in heads(later)] == [ran.fresh(head) for head in heads(later)]
