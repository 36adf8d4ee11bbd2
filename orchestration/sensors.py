"""Sensors: what happens in Dagster and in the lake -> told where an operator looks."""

import dagster as dg

from orchestration.failures import Failure, tell
from orchestration.holder import hold
from orchestration.resources import Upkeep

REASON_CHARS = 2000


@dg.run_failure_sensor(
    name="pipeline_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="A run that failed and is not tried again: event pipeline.failure, counter, webhook.",
)
def pipeline_failure(context: dg.RunFailureSensorContext, upkeep: Upkeep) -> None:
    run, settings = context.dagster_run, upkeep.settings()
    if run.tags.get("dagster/will_retry") == "true":
        return
    hold(settings.data, "its sensors")
    with upkeep.bus() as queue:
        tell(
            _failure(context, f"http://{settings.dagster_host}:{settings.dagster_port}"),
            settings,
            queue,
            upkeep.now_ns(),
        )


def _failure(context: dg.RunFailureSensorContext, url: str) -> Failure:
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    reasons = [
        (event.step_key or "", data.error.message if data.error else event.message or "")
        for event in context.get_step_failure_events()
        if (data := event.step_failure_data)
    ]
    step, reason = reasons[0] if reasons else ("", context.failure_event.message or "")
    return Failure(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get("dagster/partition", ""),
        step=step,
        reason=" ".join(reason.split())[:REASON_CHARS],
        url=f"{url}/runs/{run.run_id}",
        at_ns=int((record.end_time if record and record.end_time else 0) * 1e9),
    )
