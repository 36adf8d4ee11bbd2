"""What is freed goes back to the system, where the C library lets us ask for it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pyarrow as pa
import pytest

from lakehouse.memory import give_back


@pytest.fixture(autouse=True)
def _pool_as_before() -> Iterator[None]:
    before = pa.default_memory_pool()
    yield
    pa.set_memory_pool(before)


class Library:
    """A C library that takes down what it is asked."""

    def __init__(self) -> None:
        self.asked: dict[int, int] = {}

    def mallopt(self, option: int, value: int) -> int:
        self.asked[option] = value
        return 1


def test_the_allocator_is_told_to_keep_little(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    give_back()

    assert pa.default_memory_pool().backend_name == "system"
    assert library.asked == {-8: 2, -3: 1 << 20, -1: 1 << 20}


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_back()

    assert pa.default_memory_pool().backend_name == "system"
