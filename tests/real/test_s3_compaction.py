"""Compaction of a lake on a real S3 server: the tests of a folder, unchanged."""

from __future__ import annotations

import pytest

from tests.lakehouse.upkeep.compaction.test_compact import (
    care,
    test_a_closed_day_becomes_one_sorted_file_with_every_row_once,
    test_a_query_loop_sees_each_row_once_throughout,
    test_a_row_lost_on_the_way_fails_before_the_commit_and_changes_nothing,
    test_killed_at_each_step_readers_see_each_row_once_and_the_next_run_completes,
    test_rows_that_come_to_the_day_meanwhile_make_it_start_again,
)

pytestmark = pytest.mark.usefixtures("on_s3")
