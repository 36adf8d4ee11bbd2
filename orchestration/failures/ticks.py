"""Ticks: schedules and sensors whose ticks fail -> one alert each, for as long as they fail.

A failed tick starts no run, so due work is not done, and no failed run would raise an alert.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from orchestration.failures.failed_runs import Failure, tell
from orchestration.failures.sensors import in_short, ui_of
from orchestration.resources import Upkeep

IN_A_ROW = 2  # a single failure may come from a short outage of the object store
STEP = "tick"


def tell_failed_ticks(instance: dg.DagsterInstance, upkeep: Upkeep) -> int:
    """Raise an alert for each schedule and sensor whose last `IN_A_ROW` ticks failed; return their number."""
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
    """Text of the innermost error; the outer errors only say that a tick failed."""
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
