"""A day that moves from a lake to an archive, both on a real S3 server: killed at two steps, or the archive is away."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import All, RecordQuery, Tier
from contracts.settings import Settings
from lakehouse.search import Search
from lakehouse.tiers import archive
from lakehouse.tiers.archive import archive_day, archived_days
from scripts.engines.s3 import S3
from tests.lakehouse.lake_samples import ACME
from tests.lakehouse.tiers.archiving import DAY, DAYS, ROWS, Reader, bodies, care_of, child, fill
from tests.real.s3_lake import place_on

EVERY = ROWS * len(DAYS)


@pytest.fixture
def here(s3: S3, tmp_path: Path) -> Settings:
    """A lake and an archive of their own, under two prefixes."""
    place = place_on(s3, tmp_path, s3_query_timeout_s=4, s3_write_timeout_s=15)
    given = {"lake_url": f"{place.url}/lake", "archive_url": f"{place.url}/archive"}
    return place.settings.model_copy(update=given)


def test_killed_twice_on_the_way_each_record_is_seen_once(here: Settings) -> None:
    with contextlib.closing(care_of(here)) as care:
        fill(care)
        with Reader(here, EVERY) as reader:
            for failpoint in (archive.COPIED, archive.VERIFIED):
                assert child(here, failpoint) == -signal.SIGKILL
            assert archive_day(care, Kind.LOGS, DAY).rows == ROWS
            assert len(bodies(Search(None, care.lake, here))) == EVERY
        assert (reader.wrong, archived_days(care, Kind.LOGS)) == ([], (DAY,))
        assert reader.asked > 1


def test_an_archive_that_is_away_is_said_and_the_lake_keeps_its_days(here: Settings) -> None:
    with contextlib.closing(care_of(here)) as care:
        fill(care)
        archive_day(care, Kind.LOGS, DAY)
    away = here.model_copy(update={"archive_url": "s3://no-such-bucket/archive"})
    with contextlib.closing(care_of(away)) as care:
        query = RecordQuery(Kind.LOGS, All(), None, None, 1000)
        page = Search(None, care.lake, away).records(ACME, query, frozenset(Tier))
        assert (len(page.records), page.partial) == (ROWS, True)
        assert page.tiers[Tier.ARCHIVE].error
        with pytest.raises(StoreError):
            archive_day(care, Kind.LOGS, DAYS[1])
        assert len(bodies(Search(None, care.lake, away), frozenset({Tier.LAKE}))) == EVERY - ROWS
