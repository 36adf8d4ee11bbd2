"""A run whose process is killed: tried again by itself, told when every try was killed, and completed by the next."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.failpoints import VARIABLE
from lakehouse.tiers.compaction import WRITTEN
from tests.headwater.processes import until
from tests.orchestration.batch import failures_told, with_batch
from tests.orchestration.dagster_api import DagsterApi
from tests.orchestration.older_days import fill

TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - dt.timedelta(days=2), TODAY - dt.timedelta(days=1)]
TABLE = [["lake", "logs_compacted"]]
TRIES = 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_is_tried_again_then_told_and_the_next_one_completes_it(tmp_path: Path) -> None:
    total = fill(tmp_path / "data", *DAYS)
    with with_batch(tmp_path, {VARIABLE: WRITTEN}) as (up, url):
        until(lambda: up.has(total), "the records of older days being stored", 90)
        dagster = DagsterApi(url)
        run = dagster.launch("closed_day", DAYS[0].isoformat(), TABLE)
        until(lambda: list(dagster.tries(run).values()) == ["FAILURE"] * TRIES, "every try being killed", 400)
        last, *others = dagster.tries(run)
        until(lambda: last in failures_told(up), "the event pipeline.failure", 90)
        assert not [each for each in others if each in failures_told(up)]
        assert up.has(total)

    with with_batch(tmp_path) as (up, url):
        dagster = DagsterApi(url)
        assert dagster.ended(dagster.launch("closed_day", DAYS[0].isoformat(), TABLE), 200) == "SUCCESS"
        assert up.has(total)
