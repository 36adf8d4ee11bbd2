"""An erased subject is in no object of a real S3 server, used or not: the tests of a folder, unchanged."""

from __future__ import annotations

import pytest

from tests.headwater.commands.test_erase import (
    erased,
    erased_template,
    template,
    test_a_replay_of_bus_and_dead_letters_into_an_empty_hot_store_brings_nothing_back,
    test_an_erased_subject_is_in_no_answer_and_no_file_and_everybody_else_is,
    test_an_erasure_that_is_killed_after_any_step_is_completed_by_the_next_run,
    test_stores_made_anew_from_an_old_copy_of_the_bus_hold_nothing_of_the_subject,
    world,
)

pytestmark = [pytest.mark.usefixtures("on_s3"), pytest.mark.timeout(240)]
