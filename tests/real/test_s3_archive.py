"""A day that moves from a lake to an archive on a real S3 server, two buckets: tests of a folder, and one more."""

from __future__ import annotations

import contextlib

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import All, RecordQuery, Tier
from contracts.settings import Settings
from lakehouse.read.search import Search
from lakehouse.upkeep.archive.moves import archive_day
from lakehouse.upkeep.care import Care
from tests.lakehouse.lake_samples import ACME
from tests.lakehouse.upkeep.archive.test_moves import (
    EVERY,
    care,
    here,
    search,
    test_a_copy_that_differs_is_refused_and_the_lake_keeps_the_day,
    test_a_day_that_moved_is_answered_by_the_archive_and_is_gone_from_the_lake,
    test_a_move_that_gives_up_the_day_unverified_is_found_out,
    test_killed_after_any_step_each_record_is_seen_once_and_the_next_run_completes,
    test_of_two_moves_at_once_the_first_one_fails_and_does_no_harm,
    test_what_is_removed_from_either_table_stays_in_the_account,
)
from tests.lakehouse.upkeep.archiving import DAY, DAYS, ROWS, bodies, care_of

pytestmark = pytest.mark.usefixtures("on_s3")


def test_an_archive_that_is_away_is_said_and_the_lake_keeps_its_days(here: Settings, care: Care) -> None:
    archive_day(care, Kind.LOGS, DAY)
    away = here.model_copy(update={"archive_url": "s3://no-such-bucket/archive"})
    with contextlib.closing(care_of(away)) as later:
        query = RecordQuery(Kind.LOGS, All(), None, None, 1000)
        page = Search(None, later.lake, away).records(ACME, query, frozenset(Tier))
        assert (len(page.records), page.partial) == (ROWS, True)
        assert page.tiers[Tier.ARCHIVE].error
        with pytest.raises(StoreError, match="bucket does not exist"):
            archive_day(later, Kind.LOGS, DAYS[1])
        assert len(bodies(Search(None, later.lake, away), frozenset({Tier.LAKE}))) == EVERY - ROWS
