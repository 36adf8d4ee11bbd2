"""What is known of repeats on a real S3 server: small files, and a start that reads no header again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bus.sqlite.reader import SqliteReader
from contracts.errors import StoreError
from contracts.messages import Message
from flows.read.saved_repeats import FOLDER
from lakehouse.delta.blobs import open_blobs
from scripts.engines.s3 import S3
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.lakehouse.delta.test_blobs import look
from tests.real.s3_lake import Place, place_on


@pytest.fixture
def place(s3: S3, tmp_path: Path) -> Place:
    return place_on(s3, tmp_path)


@pytest.fixture
def world(place: Place, s3: S3, tmp_path: Path) -> Iterator[World]:
    keys = {
        "s3_access_key": s3.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": s3.environment["AWS_SECRET_ACCESS_KEY"],
    }
    made = World(tmp_path, lake_url=place.url, s3_endpoint=s3.endpoint, **keys)
    yield made
    made.connections.close()


def test_a_bucket_holds_small_files(place: Place) -> None:
    look(open_blobs(place.url, place.settings, "x/logs/0"))


def test_a_server_that_is_away_is_a_store_error(place: Place) -> None:
    gone = place.settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    blobs = open_blobs(place.url, gone, "x")
    for call in (blobs.names, lambda: blobs.read("a"), lambda: blobs.write("a", b"x"), lambda: blobs.delete("a")):
        with pytest.raises(StoreError):
            call()


def test_a_start_reads_no_header_that_was_known(world: World, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [message([line(f"n{number}")], sequence=number) for number in range(40)]
    world.append(*sent, key="k")
    world.run()
    read: list[int] = []
    real = SqliteReader.headers

    def headers(self: SqliteReader, limit: int) -> Sequence[Message]:
        found = real(self, limit)
        read.extend(each.offset for each in found)
        return found

    monkeypatch.setattr(SqliteReader, "headers", headers)
    world.reopen()
    world.append(*sent, message([line("new")], sequence=40), key="k")
    world.run()

    assert read == []
    assert world.lake_bodies() == {**{f"n{number}": 1 for number in range(40)}, "new": 1}
    partition = world.connections.bus.partition_for("logs.raw", "k")
    assert open_blobs(place.url, place.settings, f"{FOLDER}/logs/{partition}").names()
