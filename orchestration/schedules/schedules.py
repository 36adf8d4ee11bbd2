"""Schedules: the clock and the due days of the tables -> runs. All schedules are on from the start, in UTC.

A tick reads from the tables which days are due; if none is due, the tick starts no run. So the next tick after an
outage finds the days that were missed.
"""

import datetime as dt
from collections.abc import Callable, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from contracts.messages import Kind
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure.lock import is_erasing
from orchestration.assets.partitions import ARRIVAL_DAY
from orchestration.days import note_first_day
from orchestration.due import due
from orchestration.due.pace import at_work, requests
from orchestration.holder import hold
from orchestration.names import compacted, hot, retained
from orchestration.resources import Upkeep
from orchestration.schedules import jobs
from orchestration.schedules.beats import BEATS

Answer = Sequence[dg.RunRequest] | dg.SkipReason
Look = Callable[[dg.ScheduleEvaluationContext, Upkeep], Answer]


def schedule(job: UnresolvedAssetJobDefinition, look: Look, what: str) -> dg.ScheduleDefinition:
    """A schedule with the name of its job, on from the start."""

    @dg.schedule(
        name=job.name,
        job=job,
        cron_schedule=BEATS[job.name].cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=what,
    )
    def tick(context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
        hold(upkeep.settings().data, "its schedules")
        if at_work(context.instance, job.name):
            return dg.SkipReason(f"a run of {job.name} waits or is at work")
        return look(context, upkeep) or dg.SkipReason("nothing is due")

    return tick


def _always(_context: dg.ScheduleEvaluationContext, _upkeep: Upkeep) -> Answer:
    return [dg.RunRequest()]


def closed_days(context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
    with upkeep.care() as care, upkeep.bus() as queue:
        days = _known(care, due.turned(due.to_compact(care, queue)))
    assets = {day: [compacted(name) for name in _with_rollups(names)] for day, names in days.items()}
    return requests(context.instance, jobs.closed_day.name, assets, upkeep.now_ns())


def _known(care: Care, days: dict[dt.date, list[str]]) -> dict[dt.date, list[str]]:
    """The days that are partitions. Older days of an import are noted, and become partitions after the restart."""
    first = ARRIVAL_DAY.start.date()
    if any(day < first for day in days):
        note_first_day(care)
    return {day: names for day, names in days.items() if day >= first}


def _with_rollups(names: Sequence[str]) -> list[str]:
    return [*names, *ROLLUPS] if Kind.METRICS in names else list(names)


def hot_days(context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
    with upkeep.care() as care, upkeep.bus() as queue:
        days = _known(care, due.turned(due.to_rebuild(care, queue)))
    assets = {day: [hot(name) for name in names] for day, names in days.items()}
    return requests(context.instance, jobs.heal_hot.name, assets, upkeep.now_ns())


def over(_context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
    with upkeep.care() as care, upkeep.bus() as queue:
        kinds = sorted(kind.value for kind in due.by_policy(care, queue).kinds)
    return [dg.RunRequest(asset_selection=[retained(kind) for kind in kinds])] if kinds else []


def points(_context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
    with upkeep.care() as care:
        return [dg.RunRequest()] if _uncovered(care) else []


def _uncovered(care: Care) -> bool:
    landed = care.table(Kind.METRICS.value).landed(Kind.METRICS.value)
    return any(care.table(name).landed(Kind.METRICS.value) != landed for name in ROLLUPS)


def left_over(_context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Answer:
    from lakehouse.upkeep.erasure.erase import unfinished

    with upkeep.care() as care:
        return [dg.RunRequest()] if unfinished(care) and not is_erasing(upkeep.settings()) else []


SCHEDULES = [
    schedule(jobs.open_day, _always, "Each hour."),
    schedule(jobs.closed_day, closed_days, "Each hour: closed days that are not rewritten yet, the oldest first."),
    schedule(jobs.retention, over, "Each hour: due steps of the retention policy."),
    schedule(jobs.heal_hot, hot_days, "Every ten minutes: days that the hot store has lost."),
    schedule(jobs.roll_up, points, "Every five minutes, if metric points have landed."),
    schedule(jobs.erasures, left_over, "Every ten minutes: erasures whose process ended early."),
    schedule(jobs.vacuum, _always, "Each night."),
    schedule(jobs.old_runs, _always, "Each night."),
]
