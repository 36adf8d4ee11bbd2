"""The lake writer under SIGKILL: a replay from its checkpoints leaves every row once, and the ledger agrees."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from contracts.messages import Kind
from lakehouse.lake.store import Lake
from tests.children import Child
from tests.lakehouse.lake_child import PARTITIONS, ROWS
from tests.lakehouse.lake_samples import ACME
from tests.settings import settings

BATCHES = 20
SEED = 7


def run(url: Path | str, die_at: str = "", sabotage: str = "", seconds: float | None = None) -> int:
    """Run the child to its end, to its own death, or for `seconds`; its return code."""
    with Child("tests.lakehouse.lake_child", url, BATCHES, die_at, sabotage, env=os.environ) as child:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(seconds)
        child.kill()
        return child.wait()


def counts(url: Path | str) -> tuple[int, int, int]:
    """Rows, distinct rows, and rows by the ledger."""
    lake = Lake(str(url), settings())
    sql = "SELECT count(*) AS n, count(DISTINCT body) AS bodies FROM logs"
    (row,) = lake.snapshot(Kind.LOGS).query(sql).to_pylist()
    (total,) = lake.ledger(ACME)
    lake.close()
    return row["n"], row["bodies"], total.landed


EVERY = BATCHES * PARTITIONS * ROWS


def kill_at_commits_and_between(url: Path | str) -> None:
    chance = random.Random(SEED)
    for table in ("rows", "ledger", "rows", "rows"):
        assert run(url, f"{table}:{chance.randint(1, 2)}") == -9
    for _ in range(3):
        run(url, seconds=chance.uniform(0.02, 0.4))
    assert run(url) == 0


def kill_a_blind_one(url: Path | str) -> None:
    assert run(url, "rows:1", "blind") == -9
    assert run(url, "", "blind") == 0


def test_killed_at_any_commit_each_row_is_there_once(tmp_path: Path) -> None:
    kill_at_commits_and_between(tmp_path)

    assert counts(tmp_path) == (EVERY, EVERY, EVERY)


@pytest.mark.long
def test_without_the_look_at_what_has_landed_rows_are_doubled(tmp_path: Path) -> None:
    kill_a_blind_one(tmp_path)

    rows, distinct, _ = counts(tmp_path)
    assert (rows > EVERY, distinct) == (True, EVERY)
