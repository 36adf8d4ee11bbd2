"""Timestamps: every shape a sender may write, and the ones it may not."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.timestamps import INT64_MAX, INT64_MIN, fits_int64, is_timestamp, timestamp_ns

SECOND = 10**9
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-05-01T12:00:00Z", 1_714_564_800 * SECOND),
        ("2024-05-01t12:00:00z", 1_714_564_800 * SECOND),
        ("2024-05-01 12:00:00", 1_714_564_800 * SECOND),
        ("2024-05-01T12:00", 1_714_564_800 * SECOND),
        ("2024-05-01", 1_714_521_600 * SECOND),
        ("2024-05-01T12:00:00,5Z", 1_714_564_800 * SECOND + 500_000_000),
        ("2024-05-01T12:00:00.123456789Z", 1_714_564_800 * SECOND + 123_456_789),
        ("2024-05-01T12:00:00.1234567+05:30", 1_714_545_000 * SECOND + 123_456_700),
        ("2024-05-01T12:00:00.123456+05:30", 1_714_545_000 * SECOND + 123_456_000),
        ("2024-05-01T12:00:00-0800", 1_714_593_600 * SECOND),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("0001-01-01T00:00:00+14:00", (-62_135_596_800 - 14 * 3600) * SECOND),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_800 * SECOND - 1),
        ("9999-12-31T23:59:59-14:00", (253_402_300_799 + 14 * 3600) * SECOND),
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.5", 1_700_000_000 * SECOND + 500_000_000),
        ("-1.5", -1_500_000_000),
        (0, 0),
        (-1, -SECOND),
        (1_700_000_000, 1_700_000_000 * SECOND),
        (1_700_000_000_123, 1_700_000_000_123_000_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (1_700_000_000.123456, 1_700_000_000_123_456_000),
        (1_700_000_000_123.5, 1_700_000_000_123_500_000),
        (1 << 64, 1 << 64),
        (1e300, int(1e300)),
    ],
)
def test_a_time_is_read_in_every_shape(value: str | int | float, expected_ns: int) -> None:
    assert timestamp_ns(value) == expected_ns
    if isinstance(value, str):
        assert is_timestamp(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "yesterday",
        "2024-02-30T00:00:00Z",
        "2024-13-01",
        "2024-05-01T25:00:00Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T12:00:61Z",
        "2024-05-01T12:00:00+99:00",
        "2024-05-01T12:00:00Z and more",
        "٢٠٢٤-05-01T12:00:00Z",
        "1e9",
        "0x10",
        "NaN",
        "\ud800",
        "9" * 65,
        "2024-05-01T12:00:00." + "1" * 100 + "Z",
    ],
)
def test_what_is_no_time_is_refused_with_what_to_send(value: str) -> None:
    assert not is_timestamp(value)
    with pytest.raises(ValueError, match="send RFC 3339"):
        timestamp_ns(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_numbers_that_are_no_time_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        timestamp_ns(value)


def test_only_some_times_fit_into_64_bits() -> None:
    assert fits_int64(timestamp_ns("2262-04-11T23:47:16Z"))
    assert not fits_int64(timestamp_ns("2262-04-11T23:47:17Z"))
    assert not fits_int64(timestamp_ns("0001-01-01T00:00:00Z"))
    assert fits_int64(INT64_MAX)
    assert fits_int64(INT64_MIN)


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones() | st.just(dt.UTC)), st.integers(0, 999))
def test_any_moment_of_the_calendar_survives(moment: dt.datetime, nanos: int) -> None:
    if (offset := moment.utcoffset()) is None or offset.seconds % 60:
        return  # local mean time: RFC 3339 has no seconds in an offset
    since = moment - EPOCH
    expected = (since.days * 86_400 + since.seconds) * SECOND + moment.microsecond * 1000
    text = moment.isoformat(timespec="microseconds")
    assert timestamp_ns(text) == expected
    assert timestamp_ns(f"{text[:26]}{nanos:03d}{text[26:]}") == expected + nanos


@settings(deadline=None)
@given(
    st.text(max_size=40)
    | st.from_regex(r"\d{4}-\d\d-\d\d.\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", fullmatch=True)
)
def test_the_cheap_check_agrees_with_the_parser(text: str) -> None:
    try:
        timestamp_ns(text)
        readable = True
    except ValueError:
        readable = False
    assert is_timestamp(text) == readable
