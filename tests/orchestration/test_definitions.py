from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import dagster as dg

from orchestration.definitions import defs
from orchestration.schedules.beats import BEATS
from tests.children import clean_environment

LINEAGE = [("bus", "logs_raw"), ("lake", "logs"), ("lake", "logs_compacted"), ("archive", "logs_archive")]


def test_the_definitions_load_and_know_every_table_from_bus_topic_to_archive() -> None:
    dg.Definitions.validate_loadable(defs)
    graph = defs.get_repository_def().asset_graph
    for above, below in itertools.pairwise(LINEAGE):
        assert dg.AssetKey(list(above)) in graph.get(dg.AssetKey(list(below))).parent_keys
    for kind in ("logs", "metrics", "events", "dead_letters"):
        for key in (
            ["lake", kind],
            ["lake", f"{kind}_compacted"],
            ["lake", f"{kind}_retained"],
            ["archive", f"{kind}_archive"],
        ):
            assert graph.has(dg.AssetKey(key))


def test_every_asset_says_whose_it_is_what_it_is_and_where_it_belongs() -> None:
    graph = defs.get_repository_def().asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.description, key
        assert node.kinds, key
        assert node.group_name not in ("", "default"), key


def test_every_schedule_and_sensor_is_on_from_the_start() -> None:
    repository = defs.get_repository_def()
    assert {schedule.name for schedule in repository.schedule_defs} == set(BEATS)
    assert all(schedule.default_status is dg.DefaultScheduleStatus.RUNNING for schedule in repository.schedule_defs)
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in repository.sensor_defs)


def test_loading_takes_no_library_that_only_a_run_needs(tmp_path: Path) -> None:
    heavy = "('pandas', 'great_expectations', 'pyarrow.dataset', 'tantivy', 'opensearchpy', 'dagster_postgres')"
    code = f"import orchestration.definitions, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
