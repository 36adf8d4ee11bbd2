"""Sensors: failed runs of Dagster -> alerts."""

import dagster as dg

from orchestration.failures.failed_runs import Failure, tell
from orchestration.holder import hold
from orchestration.resources import Upkeep

REASON_CHARS = 2000
WILL_RETRY = "dagster/will_retry"
_PROCESS_ENDED = "Run execution process"  # part of Dagster's message about a run whose process ended without an error


@dg.run_failure_sensor(
    name="pipeline_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="A run that failed for good: event pipeline.failure, counter, webhook.",
)
def pipeline_failure(context: dg.RunFailureSensorContext, upkeep: Upkeep) -> None:
    run, settings = context.dagster_run, upkeep.settings()
    if run.tags.get(WILL_RETRY) == "true":
        return
    hold(settings.data, "its sensors")
    tell_failure(context.instance, run, upkeep)


def tell_failure(instance: dg.DagsterInstance, run: dg.DagsterRun, upkeep: Upkeep) -> None:
    """Raise the alert for a run that failed for good; repeated calls make one event."""
    tell(_failure(instance, run, ui_of(upkeep)), upkeep)


def ui_of(upkeep: Upkeep) -> str:
    """Base URL of the links in alerts."""
    settings = upkeep.settings()
    return f"http://{settings.dagster_host}:{settings.dagster_port}"


def in_short(words: str) -> str:
    """The words on one line, cut to `REASON_CHARS`."""
    return " ".join(words.split())[:REASON_CHARS]


def _failure(instance: dg.DagsterInstance, run: dg.DagsterRun, url: str) -> Failure:
    record = instance.get_run_record_by_id(run.run_id)
    step, reason = _reason(instance, run)
    return Failure(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get("dagster/partition", ""),
        step=step,
        reason=in_short(reason),
        url=f"{url}/runs/{run.run_id}",
        at_ns=int((record.end_time if record and record.end_time else 0) * 1e9),
    )


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[str, str]:
    """Step ("" for none) and reason: the error of the first failed step, else Dagster's words about the process."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE}
    found = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=kinds) if entry.dagster_event]
    for event in found:
        if event.event_type is dg.DagsterEventType.STEP_FAILURE and (error := event.step_failure_data.error):
            return event.step_key or "", error.message
    said = [event.message or "" for event in found if event.event_type is not dg.DagsterEventType.STEP_FAILURE]
    ended = [message for message in said if _PROCESS_ENDED in message]
    return "", (ended or said or [""])[-1]
