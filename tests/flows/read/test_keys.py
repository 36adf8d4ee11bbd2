"""Keys are found as in a set, for as long as they are among the newest."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from flows.read.keys import Keys


def digest(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from(("add", "add", "add", "find", "forget")), st.integers(0, 60)), max_size=300),
)
def test_keys_are_those_of_a_dictionary_that_forgets_its_oldest(limit: int, steps: list[tuple[str, int]]) -> None:
    keys, plain, clock = Keys(limit), OrderedDict[bytes, int](), 0
    for step, number in steps:
        if step == "forget":
            keys.forget_before(clock - number)
            while plain and next(iter(plain.values())) < clock - number:
                plain.popitem(last=False)
        elif step == "find" or digest(number) in plain:
            assert (digest(number) in keys) == (digest(number) in plain)
        else:
            clock += number % 3
            keys.add(digest(number), clock)
            plain[digest(number)] = clock
            if len(plain) > limit:
                plain.popitem(last=False)
        assert len(keys) == len(plain)
    found, times = keys.since(0)
    assert found == b"".join(plain)
    assert times.tolist() == list(plain.values())


def test_many_keys_come_and_go_in_bounded_memory() -> None:
    limit, count = 20_000, 100_000
    tracemalloc.start()
    keys = Keys(limit)
    for number in range(count):
        keys.add(digest(number), number)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert keys.pushed_out == count - limit
    assert all(digest(number) in keys for number in range(count - limit, count, 7))
    assert not any(digest(number) in keys for number in range(0, count - limit, 7))
    assert size < 48 * limit
