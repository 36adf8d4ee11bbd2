"""Days: the UTC arrival days in the tables -> the first day, noted in `<data>/dagster/first_day`.

After an import of older records, a schedule notes an earlier day. The partitions in the UI begin at the noted day;
`orchestration.process.serve` watches the note and restarts itself, so that the partitions follow.
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
    """The noted day; today if no day is noted."""
    try:
        return dt.date.fromisoformat(first_day_file(settings).read_text().strip())
    except (OSError, ValueError):
        return dt.datetime.now(dt.UTC).date()


def note_first_day(care: Care) -> bool:
    """Note the oldest day of the lake; True if the note changed to an earlier day.

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
