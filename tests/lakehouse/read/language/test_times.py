"""Times as people write them, and what is outside of what can be stored."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import QueryError
from lakehouse.read.language.times import (
    EARLIEST_NS,
    LATEST_NS,
    SECOND,
    format_duration,
    parse_duration,
    parse_span,
    parse_time,
)

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-15m", NOW - 900 * SECOND),
        ("now+1h", NOW + 3600 * SECOND),
        ("now 1h", NOW + 3600 * SECOND),
        ("now-1d+2h", NOW - 22 * 3600 * SECOND),
        ("now-2w", NOW - 14 * 86_400 * SECOND),
        ("now-250ms", NOW - SECOND // 4),
        ("1700000000", NOW),
        ("1700000000.25", NOW + SECOND // 4),
        ("1700000000123", NOW + 123_000_000),
        ("1700000000123456", NOW + 123_456_000),
        ("1700000000123456789", NOW + 123_456_789),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14t22:13:20z", NOW),
        ("2023-11-14 22:13:20", NOW),
        ("2023-11-14T22:13:20.123456789Z", NOW + 123_456_789),
        ("2023-11-14T22:13:20.1234567899Z", NOW + 123_456_789),
        ("2023-11-15T00:13:20+02:00", NOW),
        ("2023-11-15T00:13:20 02:00", NOW),
        ("2023-11-14T20:43:20-0130", NOW),
        ("2023-11-14T22:13Z", NOW - 20 * SECOND),
        ("2023-11-14", 1_699_920_000 * SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", EARLIEST_NS),
        ("9999-12-31T23:59:59Z", LATEST_NS),
        ("-5", EARLIEST_NS),
        ("now-999999999w", EARLIEST_NS),
        ("now+999999999999w", LATEST_NS),
        ("99999999999999999999", LATEST_NS),
    ],
)
def test_a_time_reads_as_nanoseconds(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected


def test_a_date_alone_spans_its_day_and_every_other_time_is_an_instant() -> None:
    first = 1_699_920_000 * SECOND
    assert parse_span(" 2023-11-14 ", NOW) == (first, first + 86_400 * SECOND - 1)
    assert parse_span("2023-11-14T00:00:00Z", NOW) == (first, first)
    assert parse_span("now-15m", NOW) == (NOW - 900 * SECOND, NOW - 900 * SECOND)
    assert parse_span("9999-12-31", NOW) == (LATEST_NS, LATEST_NS)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "now-", "now-5", "now-5y", "2023-02-30", "2023-13-01", "0000-01-01", "2023-11-14T24:00:00Z",
     "2023-11-14T22:61:00Z", "2023-11-14T22:00:61Z", "2023-11-14T22:00:00+25:00", "1e9", "NaN", "inf", "١٧٠٠",
     "x" * 9999],
)  # fmt: skip
def test_what_is_no_time_says_how_one_is_written(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_time(text, NOW, position=3)
    assert (caught.value.code, caught.value.position) == ("bad_time", 3)
    assert "RFC 3339" in caught.value.hint
    assert len(str(caught.value)) < 100


@given(st.text(max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_time_in_range_or_a_query_error(text: str) -> None:
    try:
        found = parse_time(text, NOW)
    except QueryError:
        return
    assert EARLIEST_NS <= found <= LATEST_NS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60.0), ("1m", 60.0), ("90", 90.0), ("1.5h", 5400.0), ("500ms", 0.5), ("1w", 604_800.0)],
)
def test_a_duration_reads_as_nanoseconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "0", "-1s", "1y", "s", "1e3", "999999999999w", "0.0000000001"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_duration(text)
    assert caught.value.code == "bad_duration"


@pytest.mark.parametrize("text", ["1w", "3d", "36h", "90m", "61s", "1500ms"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text
