"""What a killed move left in the archive, and what else happens to its day before another move clears it."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.archive.moves import archive_day, archive_table
from lakehouse.upkeep.retention.apply import Action, Plan, Step, apply
from tests.lakehouse.upkeep.archiving import DAY, DAYS, ROWS, care_of, child, fill, stored
from tests.settings import settings


def test_a_copy_of_a_killed_move_does_not_outlive_the_day_that_retention_takes(tmp_path: Path) -> None:
    here = settings(data_dir=tmp_path)
    with contextlib.closing(care_of(here)) as care:
        fill(care)
        archive_day(care, Kind.LOGS, DAYS[1])
    assert child(here, archive.VERIFIED) == -signal.SIGKILL
    over = Step(Action.DELETE, Tier.LAKE, Kind.LOGS, DAY, ROWS, 0, "over")
    with contextlib.closing(care_of(here)) as care:
        apply(care, Plan([over], [], care.today(), None))
        assert {file["partition.day"] for file in archive_table(care, Kind.LOGS).files()} == {DAYS[1]}
        assert sum(stored(care).values()) == ROWS * len(DAYS)
