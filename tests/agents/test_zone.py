"""Zone: the name of this machine's time zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.zone import checked_zone, local_zone
from contracts.errors import ConfigError


@pytest.fixture
def zoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.delenv("TZ", raising=False)
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Kolkata", "Etc/GMT+5"])
def test_names_of_zones_are_sent_as_they_are(zone: str) -> None:
    assert checked_zone(zone) == zone


@pytest.mark.parametrize(("given", "sent"), [("+05:30", "+05:30"), ("-0500", "-05:00"), ("+00:00", "+00:00")])
def test_offsets_are_sent_in_one_form(given: str, sent: str) -> None:
    assert checked_zone(given) == sent


@pytest.mark.parametrize(
    "zone", ["Nowhere/Town", "../etc/passwd", "/etc/localtime", "+25:00", "+05", " UTC", "America", "é"]
)
def test_a_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="is not known"):
        checked_zone(zone)


@pytest.mark.parametrize("text", ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"])
def test_the_environment_names_the_zone(zoned: pytest.MonkeyPatch, text: str) -> None:
    zoned.setenv("TZ", text)
    assert local_zone() == "Europe/Berlin"


def test_the_link_of_the_system_names_the_zone(zoned: pytest.MonkeyPatch, tmp_path: Path) -> None:
    zone = tmp_path / "zoneinfo" / "Asia" / "Tokyo"
    zone.parent.mkdir(parents=True)
    zone.touch()
    (tmp_path / "localtime").symlink_to(zone)
    assert local_zone(tmp_path / "localtime", tmp_path / "timezone") == "Asia/Tokyo"


def test_the_system_names_the_zone_in_a_file_where_the_link_is_a_copy(
    zoned: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "localtime").touch()
    (tmp_path / "timezone").write_text("Asia/Tokyo\n")
    assert local_zone(tmp_path / "localtime", tmp_path / "timezone") == "Asia/Tokyo"


@pytest.mark.parametrize(("text", "offset"), [("XYZ-5:45", "+05:45"), ("XYZ3", "-03:00"), ("XYZ0", "UTC")])
def test_a_zone_without_a_name_is_sent_as_its_offset(zoned: pytest.MonkeyPatch, text: str, offset: str) -> None:
    zoned.setenv("TZ", text)
    time.tzset()
    assert local_zone() == offset
