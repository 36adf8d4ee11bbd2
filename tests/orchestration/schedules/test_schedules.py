from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from contracts.messages import Kind
from orchestration.assets.upkeep import delete_runs
from orchestration.days import first_day
from orchestration.definitions import defs
from orchestration.process.leftovers import end_leftovers
from orchestration.resources import Upkeep
from orchestration.schedules.beats import BEATS, next_runs
from tests.headwater.processes import output, started
from tests.lakehouse.upkeep.aging import pass_checks
from tests.orchestration.caring import NOW_NS, TODAY, land, upkeep
from tests.orchestration.test_holder import HOLD
from tests.settings import settings
from tests.waiting import until


def tick(name: str, resource: Upkeep, instance: dg.DagsterInstance) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """As the daemon asks: what it answers is held against the partitions, too."""
    repository = defs.get_repository_def()
    context = dg.build_schedule_context(
        instance=instance,
        resources={"upkeep": resource},
        repository_def=repository,
        scheduled_execution_time=dt.datetime.fromtimestamp(resource.now_ns() / 1e9, dt.UTC),
    )
    answer = repository.get_schedule_def(name).evaluate_tick(context)
    return answer.run_requests or dg.SkipReason(answer.skip_message)


def days_of(answer: Sequence[dg.RunRequest] | dg.SkipReason) -> list[str]:
    assert not isinstance(answer, dg.SkipReason), answer
    return [str(request.partition_key) for request in answer]


def test_days_that_nobody_cared_for_are_all_due_oldest_first_and_the_open_one_never_is(tmp_path: Path) -> None:
    for days_later in range(4):
        land(tmp_path, -days_later, first=days_later * 3)
    with dg.instance_for_test() as instance:
        answer = tick("closed_day", upkeep(tmp_path, days_later=3), instance)
        assert days_of(answer) == [str(TODAY + dt.timedelta(days=later)) for later in range(3)]
        assert days_of(tick("heal_hot", upkeep(tmp_path, days_later=3), instance)) == days_of(answer)
        assert isinstance(answer, list)
        keys = {key.to_user_string() for key in answer[0].asset_selection or ()}
        assert keys == {f"lake/{name}_compacted" for name in ("ledger", "logs", "metrics", "metrics_1m", "metrics_1h")}


def test_days_before_the_first_partition_are_noted_and_keep_no_other_waiting(tmp_path: Path) -> None:
    land(tmp_path)
    land(tmp_path, days_ago=5, first=3)
    with dg.instance_for_test() as instance:
        for name in ("closed_day", "heal_hot"):
            assert days_of(tick(name, upkeep(tmp_path), instance)) == [TODAY.isoformat()]
    assert first_day(settings(data_dir=tmp_path)) == TODAY - dt.timedelta(days=5)


def test_a_clock_that_jumped_back_closes_nothing(tmp_path: Path) -> None:
    land(tmp_path)
    with dg.instance_for_test() as instance:
        assert isinstance(tick("closed_day", upkeep(tmp_path, days_later=-1), instance), dg.SkipReason)


def test_metric_points_and_lost_hot_days_and_what_is_over_are_found_due(tmp_path: Path) -> None:
    land(tmp_path)
    with dg.instance_for_test() as instance:
        assert not isinstance(tick("roll_up", upkeep(tmp_path), instance), dg.SkipReason)
        assert days_of(tick("heal_hot", upkeep(tmp_path), instance)) == [TODAY.isoformat()]
        assert isinstance(tick("retention", upkeep(tmp_path), instance), dg.SkipReason)
        land(tmp_path, days_ago=33, first=3)
        with upkeep(tmp_path).care() as care:
            for kind in (Kind.LOGS, Kind.METRICS):
                pass_checks(care, kind)
        answer = tick("retention", upkeep(tmp_path), instance)
        assert isinstance(answer, list)
        assert {key.path[-1] for key in answer[0].asset_selection or ()} == {"logs_retained", "metrics_retained"}


def test_the_tick_of_a_second_daemon_fails_and_says_who_has_the_folder(tmp_path: Path) -> None:
    with started(tmp_path, "-c", HOLD) as first, dg.instance_for_test() as instance:
        until(lambda: "held" in output(tmp_path), "the first one holding it")
        with pytest.raises(dg.DagsterError, match="open_day") as raised:
            tick("open_day", upkeep(tmp_path / "data"), instance)
        assert f"pid {first.pid}" in str(raised.value.__cause__)


def test_a_day_whose_run_failed_rests_and_one_that_was_stopped_does_not(tmp_path: Path) -> None:
    land(tmp_path)
    job = defs.resolve_job_def("closed_day")
    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(
            job, tags={"dagster/partition": TODAY.isoformat()}, status=dg.DagsterRunStatus.STARTED
        )
        later = upkeep(tmp_path)
        assert isinstance(tick("closed_day", later, instance), dg.SkipReason)
        assert end_leftovers(instance, "stopped", canceled=True) == 1
        assert days_of(tick("closed_day", later, instance)) == [TODAY.isoformat()]
        instance.report_run_failed(run)
        just_now = Upkeep(overrides=later.overrides, clock_ns=later.clock_ns)
        failed = instance.get_run_record_by_id(run.run_id)
        assert failed is not None
        assert failed.dagster_run.status is dg.DagsterRunStatus.FAILURE
        assert just_now.clock_ns > NOW_NS


def test_old_records_of_short_runs_go_and_the_last_of_each_job_stays(tmp_path: Path) -> None:
    job = defs.resolve_job_def("open_day")
    with dg.instance_for_test() as instance:
        made = [
            instance.create_run_for_job(job, tags={"headwater/run": "short"}, status=dg.DagsterRunStatus.SUCCESS)
            for _ in range(3)
        ]
        assert delete_runs(instance, time.time() - 60, {"headwater/run": "short"}) == 0
        assert delete_runs(instance, time.time() + 60, {"headwater/run": "short"}) == 2
        assert [run.run_id for run in instance.get_runs()] == [made[-1].run_id]


def test_the_next_look_of_each_schedule_is_known_without_dagster() -> None:
    now = dt.datetime(2026, 11, 27, 23, 11, 33, tzinfo=dt.UTC)
    times = {name: when.strftime("%d %H:%M") for name, when in next_runs(now).items()}
    assert times == {
        "roll_up": "27 23:12",
        "heal_hot": "27 23:14",
        "open_day": "28 00:07",
        "closed_day": "27 23:20",
        "retention": "27 23:40",
        "erasures": "27 23:18",
        "vacuum": "28 03:10",
        "old_runs": "28 03:45",
    }
    assert BEATS["closed_day"].cron == "20 * * * *"
