"""Cursors: they come back as they went, and only to the query that they belong to."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.query import Cursor, Position
from query_api.cursors import read_cursor, write_cursor
from web.problems import Problem

BINDING: tuple[Any, ...] = ("ours", "logs", "desc", "a b", None, None, {"service": ["x"]}, [])
PLACE = Cursor(1_700_000_000_000_000_000, Position(1, 22, 333))
NATURAL = st.integers(0, 2**63 - 1)


@given(NATURAL, NATURAL, NATURAL, NATURAL, NATURAL)
@settings(max_examples=100, deadline=None)
def test_a_cursor_comes_back_as_it_went(now: int, at: int, partition: int, offset: int, index: int) -> None:
    cursor = Cursor(at, Position(partition, offset, index))
    assert read_cursor(write_cursor(cursor, now, BINDING), BINDING) == (cursor, now)


@pytest.mark.parametrize("place", range(len(BINDING)))
def test_a_cursor_of_another_query_is_refused(place: int) -> None:
    token = write_cursor(PLACE, 5, BINDING)
    other = (*BINDING[:place], "other", *BINDING[place + 1 :])
    with pytest.raises(Problem) as caught:
        read_cursor(token, other)
    assert (caught.value.status, caught.value.code) == (400, "bad_cursor")


def test_a_cursor_with_any_byte_changed_is_refused() -> None:
    raw = base64.urlsafe_b64decode(write_cursor(PLACE, 5, BINDING) + "==")
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(Problem):
            read_cursor(base64.urlsafe_b64encode(changed).decode(), BINDING)


@given(st.text(max_size=100))
@settings(max_examples=300, deadline=None)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Problem):
        read_cursor(text, BINDING)
