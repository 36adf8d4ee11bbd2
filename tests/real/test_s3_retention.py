"""Retention with lake and archive on a real S3 server: the tests of a folder, unchanged."""

from __future__ import annotations

import pytest

from tests.lakehouse.upkeep.retention.test_apply import (
    aging,
    nine_days,
    test_above_the_limit_the_oldest_days_of_the_lake_move_or_go,
    test_what_is_killed_is_completed_by_the_next_run_and_nobody_misses_a_record,
)

pytestmark = pytest.mark.usefixtures("on_s3")
