"""A record is found by its id and by its place, with what made its row, in lake and archive."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import BatchHeader, Kind
from contracts.query import Position
from contracts.records import record_id
from lakehouse.delta.schemas import pipeline_version
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.archive.moves import archive_day
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.provenance import provenance
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, log
from tests.settings import settings

PRODUCER, STREAM = "key:a/b%c", "/var/log/50%.log"


@pytest.fixture
def care(tmp_path: Path) -> Care:
    """Two days, a commit each; the producer's name has what an id escapes."""
    care = Care(settings(data_dir=tmp_path), lambda: NOON_NS + 3 * DAY_NS)
    writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
    for day in (0, 1):
        at_ns = NOON_NS + day * DAY_NS
        header = BatchHeader(
            tenant=ACME,
            kind=Kind.LOGS,
            producer=PRODUCER,
            epoch=2,
            stream=STREAM,
            sequence=100 * day,
            received_ns=at_ns,
        )
        rows = [log(index, at_ns=at_ns) for index in range(5)]
        writer.append([Batch(header, partition=0, offset=day, rows=rows, received=5)])
        writer.commit()
    return care


def test_a_record_is_found_by_its_id_and_by_its_place(care: Care) -> None:
    wanted = record_id(ACME, PRODUCER, 2, STREAM, 103)

    [by_id] = provenance(care, Kind.LOGS, wanted)
    [by_place] = provenance(care, Kind.LOGS, Position(0, 1, 3))

    assert by_id == by_place
    assert by_id.id == wanted
    assert (by_id.tier, by_id.row["sequence"], by_id.row["pipeline"]) == ("lake", 103, pipeline_version())
    [file] = by_id.files
    assert file.startswith("day=2026-03-05/")
    assert (Path(care.settings.lake) / "logs" / file).exists()


def test_a_record_of_another_tenant_or_that_is_nowhere_is_not_found(care: Care) -> None:
    assert provenance(care, Kind.LOGS, Position(0, 1, 3), tenant="other") == ()
    assert provenance(care, Kind.LOGS, "0" * 32) == ()


def test_a_record_that_was_moved_is_found_in_the_archive(care: Care) -> None:
    archive_day(care, Kind.LOGS, dt.date(2026, 3, 4))

    [found] = provenance(care, Kind.LOGS, record_id(ACME, PRODUCER, 2, STREAM, 4))

    assert (found.tier, found.row["bus_offset"], len(found.files)) == ("archive", 0, 1)


def test_an_archive_that_is_away_hides_no_record_of_the_lake(care: Care) -> None:
    archive_day(care, Kind.LOGS, dt.date(2026, 3, 4))
    archive = Path(care.settings.archive)
    archive.rename(archive.with_name("away"))

    [found] = provenance(care, Kind.LOGS, record_id(ACME, PRODUCER, 2, STREAM, 103))

    assert found.tier == "lake"
    with pytest.raises(StoreError):
        provenance(care, Kind.LOGS, record_id(ACME, PRODUCER, 2, STREAM, 4))
