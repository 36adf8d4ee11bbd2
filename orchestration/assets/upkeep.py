"""Upkeep: unused files of the lake, old records of Dagster -> deleted; unfinished erasures -> completed."""

import datetime as dt
import subprocess
import sys
import time

import dagster as dg

from contracts.errors import StoreError
from orchestration.names import OWNER, RETRY, SHORT
from orchestration.resources import Upkeep

GROUP = "upkeep"
PAGE = 500
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.asset(
    key=[GROUP, "vacuumed_lake"],
    group_name=GROUP,
    owners=[OWNER],
    kinds={"deltalake"},
    retry_policy=RETRY,
    description="Deletes files that no version of the last HEADWATER_LAKE_VACUUM_H hours uses, and on S3 unfinished "
    "uploads. Does not disturb readers and writers of these versions.",
)
def vacuumed_lake(upkeep: Upkeep) -> dg.MaterializeResult:
    began_s = time.monotonic()
    with upkeep.care() as care:
        done = care.lake.vacuum()
    took_s = round(time.monotonic() - began_s, 3)
    facts = {"files": len(done.files), "unfinished uploads": len(done.uploads), "seconds": took_s}
    return dg.MaterializeResult(metadata=facts)


@dg.asset(
    key=[GROUP, "old_runs"],
    group_name=GROUP,
    owners=[OWNER],
    kinds={"dagster"},
    description="Deletes records and output of old runs, by HEADWATER_DAGSTER_SHORT_RUN_D and _RUN_D. The last "
    "successful run of each job stays, as a run's materialisations are deleted with the run.",
)
def old_runs(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
    settings = upkeep.settings()
    short, other = settings.dagster_short_run_d, settings.dagster_run_d
    now_s = upkeep.now_ns() / 1e9
    deleted = delete_runs(context.instance, now_s - short * 86_400, SHORT)
    deleted += delete_runs(context.instance, now_s - other * 86_400, {})
    return dg.MaterializeResult(metadata={"runs": deleted})


@dg.asset(
    key=[GROUP, "erasures"],
    group_name=GROUP,
    owners=[OWNER],
    kinds={"deltalake"},
    retry_policy=RETRY,
    description="Completes unfinished erasures, for example after a kill, by `headwater erase --resume`, which reads "
    "the bus as the flows do.",
)
def erasures(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
    from lakehouse.upkeep.erasure.erase import unfinished

    data = upkeep.settings().data
    with upkeep.care() as care:
        waiting = unfinished(care)
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "erase", "--resume", "--data-dir", str(data)],
        check=False,
        capture_output=True,
        text=True,
    )
    context.log.info(done.stdout)
    if done.returncode:
        raise StoreError(f"erasures are not completed: {done.stderr.strip()[-500:]}", hint="see `headwater erase`")
    return dg.MaterializeResult(metadata={"completed": len(waiting), "ids": ", ".join(each.id for each in waiting)})


def delete_runs(instance: dg.DagsterInstance, before_s: float, tags: dict[str, str]) -> int:
    """Delete ended runs with these tags from before `before_s`, but each job's last success; return their number."""
    before = dt.datetime.fromtimestamp(before_s, dt.UTC)
    kept: dict[str, str] = {}
    deleted = 0
    while True:
        page = instance.get_runs(
            dg.RunsFilter(tags=tags, statuses=ENDED, created_before=before), limit=PAGE + len(kept)
        )
        for run in page:
            if run.job_name not in kept:
                done = dg.RunsFilter(job_name=run.job_name, statuses=[dg.DagsterRunStatus.SUCCESS])
                kept[run.job_name] = next((each.run_id for each in instance.get_runs(done, limit=1)), "")
        gone = [run for run in page if run.run_id != kept[run.job_name]]
        for run in gone:
            instance.delete_run(run.run_id)
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        deleted += len(gone)
        if not gone:
            return deleted


ASSETS = [vacuumed_lake, old_runs, erasures]
