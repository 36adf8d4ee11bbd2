"""Ticks: schedules and sensors that fail to look -> told as a failed run is, once for as long as they go on failing.

A tick that fails starts no run, so no run's failure tells of it: what it would have found due is not done.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from orchestration.failures.failed_runs import Failure, tell
from orchestration.failures.sensors import in_short, ui_of
from orchestration.resources import Upkeep

IN_A_ROW = 2  # one alone may be an object store that was away for a minute
STEP = "tick"


def tell_failed_ticks(instance: dg.DagsterInstance, upkeep: Upkeep) -> int:
    """Tell of each schedule and sensor whose last `IN_A_ROW` ticks failed; how many there are."""
    failing = 0
    for state in instance.all_instigator_state():
        last = _last(instance, state, limit=IN_A_ROW)
        if len(last) == IN_A_ROW and all(tick.status is TickStatus.FAILURE for tick in last):
            failing += 1
            _tell(instance, state, last[0], upkeep)
    return failing


def _tell(instance: dg.DagsterInstance, state: InstigatorState, tick: InstigatorTick, upkeep: Upkeep) -> None:
    well = _last(instance, state, [TickStatus.SUCCESS, TickStatus.SKIPPED], 1)
    failure = Failure(
        run_id=f"{STEP}:{state.instigator_name}:{well[0].tick_id if well else 0}",
        job=state.instigator_name,
        partition="",
        step=STEP,
        reason=_reason(tick),
        url=f"{ui_of(upkeep)}/automation",
        at_ns=int(tick.timestamp * 1e9),
    )
    tell(failure, upkeep)


def _reason(tick: InstigatorTick) -> str:
    """The words of the innermost error: those around it only say that a tick failed."""
    error = tick.error
    while error is not None and error.cause is not None:
        error = error.cause
    return in_short(error.message) if error else ""


def _last(
    instance: dg.DagsterInstance, state: InstigatorState, statuses: list[TickStatus] | None = None, limit: int = 1
) -> list[InstigatorTick]:
    """The newest ticks that have ended."""
    ended = statuses or [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit, statuses=ended))
