from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contracts.messages import Kind
from lakehouse.upkeep.archive.moves import archived_days
from lakehouse.upkeep.compaction.compact import compact_closed
from orchestration.assets.expectations import check_day, declared
from orchestration.definitions import defs
from orchestration.due import due
from tests.orchestration.caring import TODAY, land, upkeep


def made(folder: Path, *path: str, raises: bool = True, days_later: int = 1) -> dg.ExecuteInProcessResult:
    """The asset, made in this process, of the day that `land` filled."""
    key = dg.AssetKey(list(path))
    asset = next(each for each in defs.assets or () if isinstance(each, dg.AssetsDefinition) and key in each.keys)
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [asset],
            instance=instance,
            partition_key=TODAY.isoformat() if asset.partitions_def else None,
            resources={"upkeep": upkeep(folder, days_later)},
            raise_on_error=raises,
        )


def facts(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = [
        each
        for each in result.get_asset_materialization_events()
        if each.asset_key and each.asset_key.path[-1] == asset
    ]
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def check(folder: Path, day: dt.date) -> None:
    with upkeep(folder).care() as care:
        check_day(care, "logs", day, declared("logs"))


def test_a_closed_day_is_rewritten_checked_and_its_facts_are_told(tmp_path: Path) -> None:
    land(tmp_path)
    with upkeep(tmp_path).care() as care, upkeep(tmp_path).bus() as queue:
        assert due.to_compact(care, queue)["logs"] == [TODAY]
        result = made(tmp_path, "lake", "logs_compacted")
        assert result.success
        assert due.to_compact(care, queue)["logs"] == []
    told = facts(result, "logs_compacted")
    assert (told["rows"], told["files before"], told["files after"], told["repeated ids"]) == (150, 3, 1, 0)
    assert told["bytes before"] > told["bytes after"] > 0
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert checks["clock_ahead"].passed
    assert checks["clock_ahead"].blocking


def test_rows_that_came_after_the_checks_make_their_day_due_although_it_is_rewritten(tmp_path: Path) -> None:
    land(tmp_path)
    with upkeep(tmp_path).care() as care, upkeep(tmp_path).bus() as queue:
        assert made(tmp_path, "lake", "logs_compacted").success
        land(tmp_path, first=3)
        compact_closed(care, "logs", TODAY)  # and the run ends before it has checked
        assert due.to_compact(care, queue)["logs"] == [TODAY]
        assert made(tmp_path, "lake", "logs_compacted").success
        assert due.to_compact(care, queue)["logs"] == []


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_checked_else_its_days_would_never_be_archived(kind: Kind) -> None:
    assert declared(kind.value)


def test_a_check_that_fails_shows_its_rows_fails_the_run_and_keeps_the_day_out_of_the_archive(tmp_path: Path) -> None:
    land(tmp_path, ahead_s=3600)
    result = made(tmp_path, "lake", "logs_compacted", raises=False)
    assert not result.success
    failed = next(each for each in result.get_asset_check_evaluations() if each.check_name == "clock_ahead")
    assert not failed.passed
    assert failed.severity is dg.AssetCheckSeverity.ERROR
    table = failed.metadata["failing rows"]
    assert isinstance(table, dg.TableMetadataValue)
    assert (table.records[0].data["service"], table.records[0].data["ahead_share"]) == ("api", 1)
    with pytest.raises(Exception, match="clock_ahead failed"):
        made(tmp_path, "archive", "logs_archive", days_later=0)


def test_a_day_goes_to_the_archive_and_into_the_hot_store(tmp_path: Path) -> None:
    land(tmp_path)
    assert facts(made(tmp_path, "hot", "logs_hot"), "logs_hot")["rows"] == 150
    with pytest.raises(Exception, match="is not archived yet: it was not checked; see headwater quality"):
        made(tmp_path, "archive", "logs_archive")
    check(tmp_path, TODAY)
    assert facts(made(tmp_path, "archive", "logs_archive"), "logs_archive")["rows"] == 150
    with upkeep(tmp_path).care() as care:
        assert archived_days(care, Kind.LOGS) == (TODAY,)


def test_the_open_day_the_rollups_the_policy_and_the_upkeep_run_on_their_own(tmp_path: Path) -> None:
    land(tmp_path)
    assert facts(made(tmp_path, "lake", "logs_open_day", days_later=0), "logs_open_day")["files after"] == 1
    assert facts(made(tmp_path, "lake", "metrics_1m"), "metrics_1m")["rows read"] == 150
    assert made(tmp_path, "lake", "metrics_1h_compacted").success
    assert facts(made(tmp_path, "lake", "logs_retained"), "logs_retained")["steps"] == 0
    assert facts(made(tmp_path, "upkeep", "vacuumed_lake"), "vacuumed_lake")["files"] == 0
    assert facts(made(tmp_path, "upkeep", "old_runs"), "old_runs")["runs"] == 0


def test_the_policy_moves_an_old_day_and_the_archive_shows_it(tmp_path: Path) -> None:
    land(tmp_path, days_ago=33)
    land(tmp_path, first=3)
    held = made(tmp_path, "lake", "logs_retained", days_later=0)
    assert "it was not checked" in facts(held, "logs_retained")["held back"]
    assert "rows, move" not in facts(held, "logs_retained")
    check(tmp_path, TODAY - dt.timedelta(days=33))
    result = made(tmp_path, "lake", "logs_retained", days_later=0)
    assert facts(result, "logs_retained")["rows, move"] == 150
    (moved,) = [
        each
        for each in result.all_events
        if each.event_type_value == "ASSET_MATERIALIZATION"
        and each.asset_key == dg.AssetKey(["archive", "logs_archive"])
    ]
    assert moved.partition == (TODAY - dt.timedelta(days=33)).isoformat()
