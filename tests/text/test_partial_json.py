"""Partial JSON: what stands before the damage is read, and nothing ends or slows the reading."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text import logfmt, partial_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a":NaN,"b":-Infinity,"c":1}', {"a": "NaN", "b": "-Infinity", "c": 1}),
        ('{"a":"cut \\ud83d"}', {"a": "cut \ufffd"}),
        ('{"a":"\\ud83d\\ude00"} x', {"a": "\U0001f600"}),
        ('{"a":1},', {"a": 1}),
        ('{"a":1} and words', {"a": 1}),
        ('{"a":1}{"a":2}', {"a": 1}),
        ('{"a":1,"b":"two wo', {"a": 1, "b": "two wo"}),
        ('{"a":1,"b":"back\\', {"a": 1, "b": "back"}),
        ('{"a":1,"b":12', {"a": 1}),
        ('{"a":1,"bee', {"a": 1}),
        ('{"a":1,"b":', {"a": 1}),
        ('{"a":{"b":[1,{"c":2', {"a": {"b": [1, {}]}}),
        ('{"a":1,}', {"a": 1}),
        ("{'a': 'it is', \"b\": \"it's\", 'c': None, 'd': True}", {"a": "it is", "b": "it's", "c": None, "d": True}),
        ('{a: "x", b-c: 2}', {"a": "x", "b-c": 2}),
        ('{"a":"\\x22\\q"}', {"a": '"q'}),
        ('{"a":"two\nlines"}', {"a": "two\nlines"}),
        ('{"a":' + "9" * 5000 + "}", {"a": "9" * 5000}),
    ],
)
def test_what_stands_before_the_damage_is_read(text: str, found: dict[str, Any]) -> None:
    assert partial_json.parse(text, 16) == found


@pytest.mark.parametrize("text", ["", "{", "{}", "{]", "{not json}", "[1]", '{"a"', "{1", "{'"])
def test_a_text_without_a_pair_is_none(text: str) -> None:
    assert partial_json.parse(text, 16) is None


@pytest.mark.parametrize(
    "text", ['{"a":' * 100_000, '{"a":[' * 100_000, '{"a":' * 900 + "1" + "}" * 900, "{'a':[" * 5000]
)
def test_deep_nesting_ends_the_reading_and_not_the_program(text: str) -> None:
    found = partial_json.parse(text, 16)
    assert found is None or list(found) == ["a"]


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=5), st.integers(1, 400))
def test_the_beginning_of_an_object_gives_the_keys_before_the_cut(value: dict[str, Any], cut: int) -> None:
    text = json.dumps(value)[:cut]
    found = partial_json.parse(text, 16) or {}
    whole = list(found)[:-1]  # the last one may be cut
    assert {key: found[key] for key in whole} == {key: value[key] for key in whole}


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("level=error msg='two words' a=b", {"level": "error", "msg": "two words", "a": "b"}),
        ('level=error msg="cut of', {"level": "error", "msg": "cut of"}),
        ("level=error msg='it is \\'so\\'' n=3", {"level": "error", "msg": "it is 'so'", "n": 3}),
        ('a=1 b="x"tail c=2', {"a": 1, "b": "x", "c": 2}),
        ("a=' b=2", None),
        ("it's a = b and 'c' = d", None),
    ],
)
def test_logfmt_that_is_damaged_is_read_up_to_the_damage(line: str, pairs: dict[str, Any] | None) -> None:
    assert logfmt.parse(line) == pairs
