"""Rollups of a lake and an archive on a real S3 server: the tests of a folder, unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import storage
from tests.lakehouse.upkeep.rollup_world import Points
from tests.lakehouse.upkeep.rollups.test_rollups import (
    test_killed_between_commits_the_next_run_completes_it,
    test_points_that_moved_to_the_archive_before_they_were_counted_are_counted,
    test_two_runs_at_once_count_each_point_once,
)

pytestmark = pytest.mark.usefixtures("on_s3")


@pytest.fixture
def points(tmp_path: Path) -> Points:
    return Points(str(storage.values(tmp_path)["lake_url"]))
