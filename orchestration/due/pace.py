"""Pace: what is due and the runs there are -> what is started now.

What is due is asked of the tables, never of a calendar: days missed while nothing ran are caught up, oldest first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg

DAYS_AT_ONCE = 8  # of one job: the rest waits for the next tick
REST_H = 6  # after a run that failed for good: the same day is not tried before
UNDONE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def requests(
    instance: dg.DagsterInstance, job: str, due: Mapping[dt.date, Iterable[dg.AssetKey]], now_ns: int
) -> list[dg.RunRequest]:
    """One run for each day, of the assets that are due then; none where one is at work or failed just now."""
    found: list[dg.RunRequest] = []
    for day in sorted(due):
        if len(found) == DAYS_AT_ONCE:
            break
        if not _held(instance, job, day.isoformat(), now_ns):
            key = day.isoformat()  # of several requests each needs a `run_key`, which counts within one tick
            found.append(dg.RunRequest(run_key=key, partition_key=key, asset_selection=sorted(due[day])))
    return found


def at_work(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of this job waits or works: another one would only wait behind it."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDONE), limit=1))


def _held(instance: dg.DagsterInstance, job: str, day: str, now_ns: int) -> bool:
    tags = {"dagster/partition": day}
    for record in instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=1):
        if record.dagster_run.status in UNDONE:
            return True
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE:
            return now_ns / 1e9 - (record.end_time or 0) < REST_H * 3600
    return False
