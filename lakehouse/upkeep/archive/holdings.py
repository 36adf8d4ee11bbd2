"""Holdings: the tables and the hot store -> rows, files and bytes by arrival day, from metadata alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.messages import Kind
from lakehouse.delta.table import Delta
from lakehouse.lake.view import View
from lakehouse.upkeep.archive.moves import archive_table
from lakehouse.upkeep.care import Care

HOT_KINDS = tuple(kind for kind in Kind if kind is not Kind.DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Held:
    """Rows, files and bytes of one day in one tier."""

    rows: int
    files: int
    bytes: int


Days = Mapping[dt.date, Held]


def lake_days(table: Delta) -> Days:
    """The days of a lake table in the version of the handle, ascending."""
    return _by_day(table.files())


def archive_days(care: Care, kind: Kind, warm: Delta) -> Days:
    """The archived days that a reader of `warm`'s version sees, ascending; copies of unfinished moves do not count."""
    return _by_day(View.pin(warm, lambda: archive_table(care, kind)).archived_files())


def _by_day(files: Iterable[Mapping[str, Any]]) -> dict[dt.date, Held]:
    sums: dict[dt.date, Held] = {}
    for file in files:
        day, sum_ = file["partition.day"], sums.get(file["partition.day"], Held(0, 0, 0))
        sums[day] = Held(sum_.rows + file["num_records"], sum_.files + 1, sum_.bytes + file["size_bytes"])
    return dict(sorted(sums.items()))
