"""Days: the UTC arrival days that the tables hold -> the first of them, in `<data>/dagster/first_day`.

It moves back when older records are imported: schedules that look at the days note it. The partitions that the UI
shows begin there; they follow when `orchestration.process.serve`, which looks at the note, starts anew.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from contracts.files import replace_file
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse.upkeep.care import Care


def first_day_file(settings: Settings) -> Path:
    return settings.data / "dagster" / "first_day"


def first_day(settings: Settings) -> dt.date:
    """The noted one; today where there is none."""
    try:
        return dt.date.fromisoformat(first_day_file(settings).read_text().strip())
    except (OSError, ValueError):
        return dt.datetime.now(dt.UTC).date()


def note_first_day(care: Care) -> bool:
    """Note the oldest day of the lake; whether it is older than what was noted.

    Raises:
        StoreError: The lake cannot be read.
    """
    held = (file["partition.day"] for kind in Kind for file in care.table(kind.value).files())
    day = min(held, default=care.today())
    path = first_day_file(care.settings)
    if path.exists() and first_day(care.settings) <= day:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{day.isoformat()}\n".encode(), sync=False, mode=0o644, shared=True)
    return True
