"""Leftovers: runs whose process ended -> ended in Dagster's records, so that they hold no slot."""

from __future__ import annotations

import dagster as dg

AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_leftovers(instance: dg.DagsterInstance, reason: str, canceled: bool = False) -> int:
    """End such runs and return their number. Only for the holder of the data folder, while it has no run at work.

    Args:
        canceled: True: the runs were stopped on purpose; the next tick finds their work, and no alert is raised.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=AT_WORK))
    for run in runs:
        if canceled:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(runs)
