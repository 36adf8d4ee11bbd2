"""Retries: failed runs that Dagster's daemon passed over -> retried, or an alert.

The daemon reads each failure event once. If it reads the event before the run has its new state, it takes the run as
running and never looks again. The run stays marked for a retry, so no alert is raised either.
"""

from __future__ import annotations

import datetime as dt
import logging

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution

from orchestration.failures.sensors import WILL_RETRY, tell_failure
from orchestration.resources import Upkeep

PATIENCE = dt.timedelta(seconds=60)  # the daemon looks every five seconds
LOOK_BACK = dt.timedelta(days=2)
_TRIED_AGAIN = "dagster/auto_retry_run_id"

log = logging.getLogger("dagster.headwater.retries")


def retry_passed_over(workspace: WorkspaceProcessContext, upkeep: Upkeep) -> int:
    """Retry the runs that have waited longer than `PATIENCE`, or raise alerts for them; return their number."""
    instance, now = workspace.instance, dt.datetime.now(dt.UTC)
    marked = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY: "true"},
        updated_after=now - LOOK_BACK,
        updated_before=now - PATIENCE,
    )
    waiting = [record for record in instance.get_run_records(marked) if _TRIED_AGAIN not in record.dagster_run.tags]
    for record in waiting:
        run = record.dagster_run
        log.warning("run %s of %s was passed over; retrying it now", run.run_id, run.job_name)
        for _ in consume_new_runs_for_automatic_reexecution(workspace, [record], log):
            pass
        after = instance.get_run_by_id(run.run_id)
        if after is not None and after.tags.get(WILL_RETRY) != "true":
            tell_failure(instance, after, upkeep)
    return len(waiting)
