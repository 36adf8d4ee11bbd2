"""A run whose process is killed: tried again by itself, told when every try was killed, and completed later."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from contracts.failpoints import VARIABLE
from lakehouse.upkeep.compaction.compact import WRITTEN
from orchestration.failures.sensors import WILL_RETRY
from orchestration.process.instance import dagster_home
from tests.orchestration.batch import failures_told, with_batch
from tests.orchestration.dagster_api import LOOK_S, DagsterApi
from tests.orchestration.older_days import fill
from tests.waiting import until

TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - dt.timedelta(days=2), TODAY - dt.timedelta(days=1)]
TABLE = [["lake", "logs_compacted"]]
TRIES = 3
TRY_S = 150  # until a try has ended and its place in the pool is free: the monitor looks twice a minute


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_is_tried_again_then_told_and_one_that_was_passed_over_is_completed(
    tmp_path: Path,
) -> None:
    total = fill(tmp_path / "data", *DAYS)
    with with_batch(tmp_path, {VARIABLE: WRITTEN}) as (up, url):
        until(lambda: up.has(total), "the records of older days being stored", 90)
        dagster = DagsterApi(url)
        run = dagster.launch("closed_day", DAYS[0].isoformat(), TABLE)
        until(
            lambda: list(dagster.tries(run).values()) == ["FAILURE"] * TRIES,
            "every try being killed",
            TRIES * TRY_S,
            LOOK_S,
        )
        last, *others = dagster.tries(run)
        until(lambda: last in failures_told(up), "the event pipeline.failure", 90, LOOK_S)
        told = failures_told(up)
        assert "SIGKILL" in told
        assert not [each for each in others if each in told]
        assert up.has(total)
        home = dagster_home(up.settings)
    _pass_over(home, last)

    with with_batch(tmp_path) as (up, url):
        dagster = DagsterApi(url)
        until(lambda: "SUCCESS" in dagster.tries(run).values(), "the run that was passed over", 2 * TRY_S, LOOK_S)
        assert up.has(total)


def _pass_over(home: Path, run: str) -> None:
    """As the daemon leaves a run that it read too early: marked, and nothing follows."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_run_tags(run, {WILL_RETRY: "true"})
