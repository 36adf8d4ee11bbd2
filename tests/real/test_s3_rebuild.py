"""Hot days rebuilt from a lake and an archive on a real S3 server: the tests of a folder, unchanged."""

from __future__ import annotations

import pytest

from tests.lakehouse.upkeep.rebuild.test_hot_day import (
    care,
    test_killed_at_any_step_the_day_is_the_old_or_the_new_one_and_the_next_rebuild_completes_it,
    test_rows_that_moved_to_the_archive_are_part_of_the_day_and_so_are_late_ones,
)

pytestmark = pytest.mark.usefixtures("on_s3")
