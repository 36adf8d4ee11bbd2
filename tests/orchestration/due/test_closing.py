"""When a day is closed: by the clock, by what has landed, and by what the records say of the clock."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from bus import open_bus
from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from orchestration.due.closing import closed_kinds, closed_through
from tests.flows.messages import ARRIVAL_NS, SECOND_NS, line, message
from tests.flows.running import World

FIRST = dt.date(2026, 1, 1)
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


class Days:
    """A bus, flows and lake, and a clock at which they are looked at."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.sequence = 0

    def arrive(self, at_ns: int, producer: str = "agent-1") -> None:
        sent = message([line("hello")], received_ns=ARRIVAL_NS + at_ns, sequence=self.sequence, producer=producer)
        self.world.append(sent)
        self.sequence += 1

    def closed(self, at_ns: int, kind: Kind = Kind.LOGS) -> dt.date | None:
        care = Care(self.world.settings, lambda: ARRIVAL_NS + at_ns)
        try:
            return closed_through(care, self.world.connections.bus, kind)
        finally:
            care.close()


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


def test_nothing_is_closed_where_nothing_has_landed(days: Days) -> None:
    assert days.closed(0) is None
    days.arrive(HOUR_NS)
    assert days.closed(3 * DAY_NS) is None


def test_a_day_is_closed_once_the_clock_is_past_it_and_a_moment(days: Days) -> None:
    days.arrive(HOUR_NS)
    days.arrive(DAY_NS - 1)
    days.world.run()
    assert days.closed(DAY_NS - 1) == day(-1)
    assert days.closed(DAY_NS + 200 * SECOND_NS) == day(-1)
    assert days.closed(DAY_NS + 301 * SECOND_NS) == day(0)
    assert days.closed(DAY_NS + 301 * SECOND_NS, Kind.METRICS) == day(0)  # nothing of it can come any more either


def test_a_day_stays_open_while_something_of_it_waits_on_the_bus(days: Days) -> None:
    days.arrive(HOUR_NS)
    days.world.run()
    days.arrive(2 * HOUR_NS, "agent-2")
    days.arrive(DAY_NS + HOUR_NS)
    assert days.closed(DAY_NS + 2 * HOUR_NS) == day(-1)
    days.world.run()
    assert days.closed(DAY_NS + 2 * HOUR_NS) == day(0)


def test_what_waits_since_just_after_midnight_keeps_the_day_before_open(days: Days) -> None:
    """A request of before midnight may stand behind it."""
    days.arrive(HOUR_NS)
    days.world.run()
    days.arrive(DAY_NS + SECOND_NS)
    assert days.closed(DAY_NS + HOUR_NS) == day(-1)


def test_a_clock_that_jumps_back_a_day_closes_no_day_that_gets_records(days: Days) -> None:
    for number in range(3):
        days.arrive(number * DAY_NS + HOUR_NS)
    days.world.run()
    assert days.closed(2 * DAY_NS + HOUR_NS) == day(1)
    assert days.closed(1 * DAY_NS + HOUR_NS) == day(0)


@pytest.mark.parametrize("ahead_days", [2, 30, 4000])
def test_a_clock_that_jumps_ahead_does_not_close_the_day_that_gets_records(days: Days, ahead_days: int) -> None:
    for number in range(3):
        days.arrive(number * DAY_NS + HOUR_NS)
    days.world.run()
    assert days.closed((2 + ahead_days) * DAY_NS + HOUR_NS) == day(1)


def test_a_bus_that_was_lost_and_not_read_since_keeps_its_days_open(days: Days) -> None:
    days.arrive(HOUR_NS)
    days.arrive(2 * DAY_NS)
    days.world.run()
    days.world.connections.close()
    for path in days.world.settings.data.glob("bus.db*"):
        path.unlink()
    days.world.reopen()
    days.arrive(DAY_NS + HOUR_NS)
    assert days.closed(3 * DAY_NS) == day(0)


def test_every_kind_is_told(days: Days) -> None:
    days.arrive(HOUR_NS)
    days.world.run()
    care = Care(days.world.settings, lambda: ARRIVAL_NS + DAY_NS + HOUR_NS)
    bus = open_bus(days.world.settings.bus, days.world.settings)
    assert closed_kinds(care, bus) == dict.fromkeys(Kind, day(0))
    care.close()
    bus.close()


def test_looking_at_it_loads_no_dagster() -> None:
    words = "import sys, orchestration.due.closing, orchestration.due.backlog; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
