"""Repeats are told by headers alone: whole, in part, or not at all."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from flows.repeats import HOUR_NS, Repeats
from tests.flows.messages import ARRIVAL_NS, header


def memory(keys: int = 1000) -> Repeats:
    return Repeats(stream_h=72, key_h=24, keys=keys)


def test_a_batch_that_was_seen_is_a_repeat_in_whole() -> None:
    repeats = memory()
    assert repeats.skip(header(sequence=0, span=10, count=10)) == 0
    assert repeats.skip(header(sequence=0, span=10, count=10)) == 10
    assert repeats.skip(header(sequence=2, span=3, count=3)) == 3


def test_of_a_batch_that_overlaps_the_first_lines_are_repeats() -> None:
    repeats = memory()
    repeats.skip(header(sequence=0, span=10, count=10))

    assert repeats.skip(header(sequence=6, span=10, count=10)) == 4
    assert repeats.skip(header(sequence=16, span=1)) == 0


def test_a_gap_is_taken_and_counted() -> None:
    repeats = memory()
    repeats.skip(header(sequence=0, span=10, count=10))

    assert repeats.skip(header(sequence=50, span=5, count=5)) == 0
    assert repeats.gaps == 1


def test_streams_epochs_producers_and_tenants_are_apart() -> None:
    repeats = memory()
    for tenant, producer, epoch, stream in itertools.product(("a", "b"), ("p", "q"), (0, 1), ("s", "t")):
        assert repeats.skip(header(tenant=tenant, producer=producer, epoch=epoch, stream=stream)) == 0
        assert repeats.skip(header(tenant=tenant, producer=producer, epoch=epoch, stream=stream)) == 1


def test_a_key_stands_for_its_whole_request_however_many_lines_come_the_second_time() -> None:
    repeats = memory()
    assert repeats.skip(header(producer="key:k", span=3, count=3)) == 0
    assert repeats.skip(header(producer="key:k", span=5, count=5)) == 5


def test_a_key_is_forgotten_after_its_hours_by_the_clock_of_the_messages() -> None:
    repeats = memory()
    repeats.skip(header(producer="key:k"))

    assert repeats.skip(header(producer="key:k", received_ns=ARRIVAL_NS + 24 * HOUR_NS)) == 1
    assert repeats.skip(header(producer="key:k", received_ns=ARRIVAL_NS + 24 * HOUR_NS + 1)) == 0


def test_of_too_many_keys_the_oldest_go_first() -> None:
    repeats = memory(keys=2)
    for name in ("a", "b", "c"):
        repeats.skip(header(producer=f"key:{name}"))

    assert repeats.skip(header(producer="key:c")) == 1
    assert repeats.skip(header(producer="key:b")) == 1
    assert repeats.skip(header(producer="key:a")) == 0


def test_a_stream_is_forgotten_when_the_bus_has_forgotten_it() -> None:
    repeats = memory()
    repeats.skip(header(stream="old"))
    repeats.skip(header(stream="new", received_ns=ARRIVAL_NS + 73 * HOUR_NS))

    assert repeats.skip(header(stream="old", received_ns=ARRIVAL_NS + 73 * HOUR_NS)) == 0


def test_a_foreign_message_is_never_a_repeat() -> None:
    repeats = memory()
    foreign = header(producer="bus:logs.raw:0", stream="7", span=-1, count=-1)
    assert [repeats.skip(foreign), repeats.skip(foreign)] == [0, 0]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=40))
def test_whatever_is_sent_again_each_sequence_number_passes_once_and_in_order(sent: list[tuple[int, int]]) -> None:
    repeats = memory()
    passed: list[int] = []
    for sequence, span in sent:
        skip = repeats.skip(header(sequence=sequence, span=span, count=span))
        passed += range(sequence + skip, sequence + span)

    assert passed == sorted(set(passed))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=20), st.integers(0, 20))
def test_state_rebuilt_from_headers_decides_like_the_state_that_ran(sent: list[tuple[int, int]], start: int) -> None:
    headers = [header(sequence=sequence, span=span, count=span) for sequence, span in sent]
    ran, rebuilt = memory(), memory()
    decisions = [ran.skip(head) for head in headers]
    for head in headers[:start]:
        rebuilt.skip(head)

    assert [rebuilt.skip(head) for head in headers[start:]] == decisions[start:]
