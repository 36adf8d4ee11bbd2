"""Schedules that fail to look are told of, once for each time they begin to fail."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from contracts.settings import load_settings
from orchestration.failures.failed_runs import failure_counts
from orchestration.failures.ticks import tell_failed_ticks
from tests.orchestration.caring import upkeep
from tests.orchestration.failures.test_failed_runs import events

NAME = "retention"
CAUSE = SerializableErrorInfo("retention.toml, line 2: no such key", [], "ConfigError")
ERROR = SerializableErrorInfo("Error occurred during the evaluation of schedule retention", [], "Error", CAUSE)


def begin(instance: dg.DagsterInstance) -> InstigatorState:
    """As the daemon does at a schedule's first tick."""
    place = GrpcServerCodeLocationOrigin(host="localhost", socket="code.sock", location_name="headwater")
    origin = RemoteRepositoryOrigin(place, "__repository__").get_instigator_origin(NAME)
    data = ScheduleInstigatorData("40 * * * *", time.time())
    state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    return instance.add_instigator_state(state)


def tick(instance: dg.DagsterInstance, state: InstigatorState, status: TickStatus) -> None:
    made = TickData(
        instigator_origin_id=state.instigator_origin_id,
        instigator_name=NAME,
        instigator_type=state.instigator_type,
        status=status,
        timestamp=time.time(),
        selector_id=state.selector_id,
        run_ids=["run"] if status is TickStatus.SUCCESS else None,
        error=ERROR if status is TickStatus.FAILURE else None,
    )
    instance.create_tick(made)


def test_a_schedule_that_fails_twice_in_a_row_is_told_of_once_until_it_has_been_well(tmp_path: Path) -> None:
    resource, counted = upkeep(tmp_path), []
    with dg.instance_for_test() as instance:
        state = begin(instance)
        for status in (
            TickStatus.SKIPPED,
            TickStatus.FAILURE,
            TickStatus.FAILURE,
            TickStatus.FAILURE,
            TickStatus.SUCCESS,
            TickStatus.FAILURE,
            TickStatus.FAILURE,
        ):
            tick(instance, state, status)
            tick(instance, state, TickStatus.STARTED)  # one that is being evaluated says nothing yet
            tell_failed_ticks(instance, resource)
            counted.append(failure_counts(tmp_path).get(NAME, 0))
    assert counted == [0, 0, 1, 1, 1, 1, 2]
    event = events(load_settings(_env_file=None, data_dir=tmp_path))[0][1]
    assert event["name"] == "pipeline.failure"
    assert "retention failed: retention.toml, line 2: no such key" in event["body"]
    assert event["attributes"]["step"] == "tick"
