"""Zones: what stands behind a time, and what a clock in a zone means."""

from __future__ import annotations

import datetime as dt

import pytest

from text import dates, times, zones

HOUR_NS = 3600 * 10**9


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("behind", "hours"),
    [
        ("Z", 0), ("-05", -5), ("+0530", 5.5), ("+05:45", 5.75), (" +0530", 5.5), (" -03 [7] LOG:  x", -3), (" UTC", 0),
        (" EST [77] ERROR:  x", -5), (" CET]", 1), (" CEST", 2), (" MSK x", 3), (" GMT+01:00", 1), (" UTC+2", 2),
        (" NZDT", 13), (" GMT+0000 (Coordinated Universal Time)", 0),
    ],
)  # fmt: skip
def test_an_offset_or_a_sure_name_behind_a_time_makes_it_utc(behind: str, hours: float) -> None:
    found = times.iso("2026-11-30 19:40:07.123" + behind, 0, 0)
    assert found is not None
    assert found[2] == zones.UTC
    assert found[0] == at("2026-11-30T19:40:07") + 123_000_000 - int(hours * HOUR_NS)


@pytest.mark.parametrize(
    "behind",
    ["", " ERROR x", " - app - INFO", " -12.5 degrees", " [main] INFO", " INFO [12] Main: x", " ESTIMATE x", " +x"],
)
def test_other_words_behind_a_time_are_no_zone(behind: str) -> None:
    assert times.iso("2026-11-30 19:40:07" + behind, 0, 0) == (at("2026-11-30T19:40:07"), 19, None)


@pytest.mark.parametrize(
    ("behind", "name"),
    [(" CST", "CST"), (" IST x", "IST"), (" Europe/Berlin]", "Europe/Berlin"), (" XYZ [7] LOG:  x", "XYZ")],
)
def test_a_name_without_one_sure_offset_is_passed_on(behind: str, name: str) -> None:
    found = times.iso("2026-11-30 19:40:07" + behind, 0, 0)
    assert found is not None
    assert (found[0], found[2]) == (at("2026-11-30T19:40:07"), name)


@pytest.mark.parametrize(
    ("local", "zone", "utc"),
    [
        ("2026-11-30T14:40:07", "America/New_York", "2026-11-30T19:40:07"),
        ("2026-07-01T14:40:07", "America/New_York", "2026-07-01T18:40:07"),
        ("2026-12-01T01:10:07", "Asia/Kolkata", "2026-11-30T19:40:07"),
        ("2026-12-01T01:10:07", "+05:30", "2026-11-30T19:40:07"),
        ("2026-03-08T02:30:00", "America/New_York", "2026-03-08T07:30:00"),  # skipped: read as before the change
    ],
)
def test_a_clock_in_a_zone_is_read_by_the_rules_of_that_day(local: str, zone: str, utc: str) -> None:
    assert zones.to_utc(at(local), zone, at(utc)) == at(utc)


@pytest.mark.parametrize("seen", ["2026-11-01T05:30:01", "2026-11-01T06:30:01"])
def test_an_hour_that_winter_time_doubles_takes_the_reading_nearest_to_when_it_was_read(seen: str) -> None:
    assert zones.to_utc(at("2026-11-01T01:30:01"), "America/New_York", at(seen)) == at(seen)


@pytest.mark.parametrize("name", ["", "Mars/Phobos", "../../etc/passwd", "+5", "+99:00", "\x00", "x" * 100])
def test_a_zone_that_is_none_gives_no_time(name: str) -> None:
    assert zones.to_utc(0, name, 0) is None


def test_a_name_that_many_countries_use_means_what_the_machine_calls_its_time() -> None:
    assert zones.called_by("CST", "Asia/Shanghai", at("2026-11-30T19:40:07"))
    assert zones.called_by("CST", "America/Chicago", at("2026-11-30T19:40:07"))
    assert not zones.called_by("CST", "Europe/Berlin", at("2026-11-30T19:40:07"))


@pytest.mark.parametrize(
    ("local", "quarters"),
    [
        ("2026-11-30T14:40:07", -20),
        ("2026-12-01T01:25:07", 23),
        ("2026-11-30T19:44:07", 0),
        ("2026-11-30T19:47:30", None),
    ],
)
def test_an_inner_clock_is_quarter_hours_from_its_envelope_or_is_none(local: str, quarters: int | None) -> None:
    assert zones.nearest(at(local), at("2026-11-30T19:40:07")) == quarters


@pytest.mark.parametrize(
    "text", ["2026-11-30T19:40:07Z", "1796067607", "1796067607000", " 30/Nov/2026:19:40:07 +0000 "]
)
def test_a_text_that_is_a_time_is_one_whole(text: str) -> None:
    found = dates.whole(text, 0)
    assert found is not None
    assert found[0] == at("2026-11-30T19:40:07")


@pytest.mark.parametrize("value", [12.5, 42, 20261130, 0, -1, 4_111_111_111, 10**18 * 9, float("nan"), 1e308])
def test_a_number_that_is_no_day_of_ours_is_no_time(value: float) -> None:
    assert times.of_number(value) is None


@pytest.mark.parametrize("value", [1796067607, 1796067607.0, 1796067607000, 1796067607000000, 1796067607000000000])
def test_a_number_of_our_days_is_a_time(value: float) -> None:
    assert times.of_number(value) == at("2026-11-30T19:40:07")


def test_a_number_with_more_digits_than_python_writes_is_no_time() -> None:
    assert times.of_number(10**5000) is None
