"""Pace: due days and existing runs -> the runs to start now.

The due days come from the tables, not from a calendar: so days that were missed during an outage follow, oldest first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg

DAYS_AT_ONCE = 8  # runs of one job per tick; the other days wait for the next tick
REST_H = 6  # pause of a day after its run failed for good
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
    """One run for each due day, unless a run of the day is at work or has just failed."""
    found: list[dg.RunRequest] = []
    for day in sorted(due):
        if len(found) == DAYS_AT_ONCE:
            break
        if not _held(instance, job, day.isoformat(), now_ns):
            key = day.isoformat()  # several requests of one tick need distinct values of `run_key`
            found.append(dg.RunRequest(run_key=key, partition_key=key, asset_selection=sorted(due[day])))
    return found


def at_work(instance: dg.DagsterInstance, job: str) -> bool:
    """True if a run of this job waits or works; another run would only wait behind it."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDONE), limit=1))


def _held(instance: dg.DagsterInstance, job: str, day: str, now_ns: int) -> bool:
    tags = {"dagster/partition": day}
    for record in instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=1):
        if record.dagster_run.status in UNDONE:
            return True
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE:
            return now_ns / 1e9 - (record.end_time or 0) < REST_H * 3600
    return False
