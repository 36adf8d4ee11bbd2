"""Beats: times of the schedules' ticks, in UTC -> cron text for Dagster, and the next time for `headwater tiers`.

Imports no Dagster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

HOUR_MIN, DAY_MIN = 60, 1440


@dataclass(frozen=True, slots=True)
class Beat:
    """Every `every_min` minutes (a divisor of an hour, an hour, or a day), `at_min` minutes after midnight and on."""

    every_min: int
    at_min: int = 0

    @property
    def cron(self) -> str:
        if self.every_min < HOUR_MIN:
            return f"{self.at_min % self.every_min}-59/{self.every_min} * * * *"
        return (
            f"{self.at_min % 60} * * * *"
            if self.every_min == HOUR_MIN
            else f"{self.at_min % 60} {self.at_min // 60} * * *"
        )

    def after(self, now: dt.datetime) -> dt.datetime:
        """The first time past `now`."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        gone_min = (now - midnight).total_seconds() // 60
        beats = max(0, (gone_min - self.at_min) // self.every_min + 1) if gone_min >= self.at_min else 0
        return midnight + dt.timedelta(minutes=self.at_min % min(self.every_min, DAY_MIN) + beats * self.every_min)


BEATS: Mapping[str, Beat] = {
    "roll_up": Beat(5, 2),
    "heal_hot": Beat(10, 4),
    "open_day": Beat(HOUR_MIN, 7),
    "closed_day": Beat(HOUR_MIN, 20),  # after midnight, bus and late requests have 20 minutes to land
    "retention": Beat(HOUR_MIN, 40),
    "erasures": Beat(10, 8),
    "vacuum": Beat(DAY_MIN, 3 * 60 + 10),
    "old_runs": Beat(DAY_MIN, 3 * 60 + 45),
}


def next_runs(now: dt.datetime) -> dict[str, dt.datetime]:
    """Time of the next tick, by schedule."""
    return {name: beat.after(now) for name, beat in BEATS.items()}
