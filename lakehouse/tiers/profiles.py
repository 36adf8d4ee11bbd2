"""Profiles: one day of a table -> small frames that checks look at, computed by SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.tiers.care import Care

Frame = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one day of one table looks like.

    Attributes:
        rows: Of the day, in the lake.
        frames: Small tables by name; every row has the same keys. See docs/quality.md.
        facts: What the profiles of later days are compared with: records by hour, columns, attribute keys.
    """

    name: str
    day: dt.date
    rows: int
    frames: Mapping[str, Frame]
    facts: Mapping[str, Any]


def profile(care: Care, name: str, day: dt.date) -> Profile:
    """Compute the profile."""
    raise NotImplementedError
