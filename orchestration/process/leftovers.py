"""Leftovers: runs whose process is gone -> ended in Dagster's records, so that they hold no place."""

from __future__ import annotations

import dagster as dg

AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_leftovers(instance: dg.DagsterInstance, reason: str, canceled: bool = False) -> int:
    """Only by the process that holds the data folder, while no run of its own is at work; how many there were.

    Args:
        canceled: They were stopped on purpose: what they left undone is found by the next tick, and nobody is alarmed.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=AT_WORK))
    for run in runs:
        if canceled:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(runs)
