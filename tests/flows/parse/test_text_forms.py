"""Text as well-known programs write it -> time, level and attributes."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.timestamps import timestamp_ns
from flows.parse.line import AttributeLimits, Finder, LineFacts
from flows.parse.text_forms import trailing_object
from text import dates

FILE = Path(__file__).parents[2] / "cases" / "lines" / "text.jsonl"
CASES = [json.loads(line) for line in FILE.read_text().splitlines()]
LIMITS = AttributeLimits(attributes=256, depth=16)
NOW_NS = int(dt.datetime(2026, 11, 30, 20, tzinfo=dt.UTC).timestamp()) * 1_000_000_000


def find(text: str) -> LineFacts:
    return Finder(LIMITS).find(text, NOW_NS)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_line_of_each_program_gives_its_level_time_and_attributes(case: dict[str, Any]) -> None:
    found = find(case["line"])
    assert (found.severity or (0, ""))[1] == case["severity_text"]
    if case["timestamp"] is None:
        assert found.time_ns is None
    else:
        assert found.time_ns is not None
        assert abs(found.time_ns - timestamp_ns(case["timestamp"])) < 1000
    assert case.get("expect", {}).items() <= found.attributes.items()


def test_all_lines_in_one_batch_give_the_same_as_each_alone() -> None:
    chance, finder = random.Random(12), Finder(LIMITS)
    for case in chance.choices(CASES, k=1500):
        assert finder.find(case["line"], NOW_NS) == find(case["line"]), case["line"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Monday, 30-Nov-26 19:40:07 UTC", "2026-11-30T19:40:07"),
        ("November 30, 2026 at 7:40:07 PM", "2026-11-30T19:40:07"),
        ("Nov 30, 2026 7:40:07\u202fPM", "2026-11-30T19:40:07"),
        ("Nov 30, 2026 12:40:07 AM", "2026-11-30T00:40:07"),
        ("30.11.2026 19:40:07", "2026-11-30T19:40:07"),
        ("2026-11-30-19.40.07.123456", "2026-11-30T19:40:07.123456"),
        ("20261130T194007.123+0100", "2026-11-30T18:40:07.123"),
        ("20261130194007", "2026-11-30T19:40:07"),
        ("Mon Nov  3 20:40:07 CET 2026", "2026-11-03T19:40:07"),
        ("30/11/2026 19:40:07", "2026-11-30T19:40:07"),
        ("05/06/2025 02:00:00", "2025-05-06T02:00:00"),
        ("01/12/2026 02:00:00", "2026-12-01T02:00:00"),
        ("12/01/2026 02:00:00", "2026-12-01T02:00:00"),
    ],
)
def test_dates_that_are_not_those_of_iso_are_read(text: str, time: str) -> None:
    found = dates.of_any(text, 0, NOW_NS)
    assert found is not None
    assert (found[0], found[1]) == (timestamp_ns(time + "Z"), len(text))


@pytest.mark.parametrize(
    "text",
    [
        "Nov 30, 2026 13:40:07 PM x",
        "31.11.2026 19:40:07 x",
        "30 Foo 2026 19:40:07 x",
        "2026113019400755 x",
        "99999999T999999 x",
        "12/34/2026 19:40:07 x",
        "Monday morning",
        "May the force",
        "²0261130T194007Z",
    ],
)
def test_what_is_no_date_is_not_taken_for_one(text: str) -> None:
    assert dates.of_any(text, 0, NOW_NS) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-30 19:40:07 I am no level",
        "2026-11-30 19:40:07 user/errors.log opened",
        "2026-11-30 19:40:07 [main] (no level) a.b: this is no info/error page",
        "[2026-11-30 19:40:07][worker] done",
        "100% done",
        "[main] done",
    ],
)
def test_a_word_that_is_no_mark_of_a_level_gives_none(text: str) -> None:
    assert find(text).severity is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('x {"a": 1}', {"a": 1}),
        ('x {"a": 1} []', {"a": 1}),
        ('x {"a": 1} {"b": 2}', {"a": 1, "b": 2}),
        ('x {"a": 1', {}),
        ("x {a}", {}),
        ("x []", {}),
    ],
)
def test_an_object_at_the_end_of_a_line_gives_attributes(text: str, expected: dict[str, Any]) -> None:
    assert trailing_object(text, 0) == expected


REDIS, PHP = "1:M 30 Nov 2026 19:40:07.123 * Ready", "[30-Nov-2026 19:40:07] PHP Fatal error:  x"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (f"2026-11-30T19:40:07.123Z {REDIS}", "INFO"),
        (f"2026-11-30T19:40:07.123Z stdout F {REDIS}", "INFO"),
        (f"redis-1  | {REDIS}", "INFO"),
        (f'{{"log":"{REDIS}\\n","stream":"stdout","time":"2026-11-30T19:40:07.123Z"}}', "INFO"),
        (f"2026-11-30T19:40:07.123Z stderr F {PHP}", "FATAL"),
        ("2026-11-30T19:40:07.123Z ERRO[0001] boom file=a", "ERROR"),
        ("<190>42: router1: *Nov 30 19:40:07.123: %LINK-3-UPDOWN: x", "ERROR"),
        ("<190>Nov 30 2026 19:40:07: %ASA-3-713194: x", "ERROR"),
        ("[2026-11-30 19:40:07] [a] x=1", ""),
    ],
)
def test_a_form_is_read_in_envelopes_of_every_kind(text: str, level: str) -> None:
    found = find(text)
    assert (found.severity or (0, ""))[1] == level
    assert found.time_ns is None or abs(found.time_ns - timestamp_ns("2026-11-30T19:40:07Z")) < 200_000_000


def test_a_line_with_its_time_in_a_bracket_is_read_alike_after_a_line_with_a_name_in_one() -> None:
    line = "[2026-11-30T19:40:07,123][INFO ][o.e.n.Node] [n] {x"
    finder = Finder(LIMITS)
    finder.find('[app] {"level":"error"}', NOW_NS)
    assert finder.find(line, NOW_NS) == find(line)


WORDS = st.sampled_from([case["line"] for case in CASES]) | st.text(max_size=20)


@given(
    st.lists(WORDS.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])), max_size=4).map("".join)
)
def test_cut_and_mixed_lines_are_no_danger(text: str) -> None:
    find(text)


@pytest.mark.parametrize(
    "text",
    [
        'a="',
        "=",
        "%A-",
        "[",
        "] ",
        '{"',
        " {",
        "} {",
        "1/",
        "30-Nov-2026 ",
        "msg=audit(",
        "  ",
        "ERROR/",
        ", ",
        '\\"',
        "|",
    ],
)
@pytest.mark.parametrize(
    "head", ["", "2026-11-30 19:40:07 ", "ERRO[1] ", "[2026-11-30 19:40:07] ", "type=A msg=audit(1796067607.1:2): "]
)
def test_many_repeated_characters_are_no_danger(head: str, text: str) -> None:
    find(head + text * (200_000 // len(text)) + "}")
