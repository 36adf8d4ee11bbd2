"""The lake on S3 in bad luck: a clear message with what to do, recovery without a restart, each row once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from lakehouse.lake import writer as lake_writer
from lakehouse.lake.store import Lake
from lakehouse.read.search import Search
from scripts.engines import s3 as engines
from scripts.engines.s3 import S3
from tests.lakehouse.lake_samples import ACME
from tests.real.s3_lake import Writing, all_of, client_of, counts, eventually, lines, place_on
from tests.real.s3_proxy import Fault, FaultyS3, is_commit, once

SEED = 20261124
SILENT = Fault(heard=True, silent_s=3)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[S3]:
    """A server that may be killed and paused."""
    if reason := engines.missing():
        pytest.skip(f"s3: {reason}")
    with engines.running(home=tmp_path / "s3") as engine:
        yield engine


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=500), id="500"),
        pytest.param(Fault(status=503), id="503 SlowDown"),
        pytest.param(Fault(cut=True), id="cut before it was heard"),
        pytest.param(Fault(heard=True, status=500), id="written, then 500"),
        pytest.param(Fault(heard=True, cut=True), id="written, then cut"),
        pytest.param(Fault(delay_s=3, heard=True), id="heard after the client gave up"),
        pytest.param(SILENT, id="written, then silent until the client gave up"),
    ],
)
def test_a_commit_whose_answer_is_wrong_or_lost_is_made_once(s3: S3, tmp_path: Path, fault: Fault) -> None:
    with FaultyS3(s3.endpoint) as faulty:
        place = place_on(s3, tmp_path, s3_endpoint=faulty.url)
        lake = place.lake()
        writing = Writing(place.writer(), 6)
        scripts = [once(is_commit, fault) for _ in range(2)]
        faulty.script = lambda method, path: next((done for script in scripts if (done := script(method, path))), None)
        writing.run()

        assert counts(lake) == all_of(6)
        assert len(faulty.commits()) > 12, "the fault met no commit"
        lake.close()


def test_without_the_look_at_what_has_landed_a_lost_answer_doubles_rows(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_writer, "already_landed", lambda table, kind: {})
    with FaultyS3(s3.endpoint) as faulty:
        place = place_on(s3, tmp_path, s3_endpoint=faulty.url)
        lake, writing = place.lake(), Writing(place.writer(), 3)
        faulty.script = once(is_commit, SILENT)
        writing.run()

        rows, distinct, _ = counts(lake)
        assert (rows > distinct, distinct) == (True, all_of(3)[1])
        lake.close()


def test_errors_and_delays_at_random_lose_and_double_nothing(s3: S3, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    faults = [Fault(status=500), Fault(status=503), Fault(cut=True), Fault(heard=True, cut=True), Fault(delay_s=0.1)]
    with FaultyS3(s3.endpoint) as faulty:
        place = place_on(s3, tmp_path, s3_endpoint=faulty.url)
        lake = place.lake()
        writing = Writing(place.writer(), 20)
        faulty.script = lambda method, path: chance.choice(faults) if chance.random() < 0.1 else None
        writing.run()
        faulty.script = lambda method, path: None

        assert counts(lake) == all_of(20)
        lake.close()


def test_killed_and_started_during_commits_no_row_is_lost_or_doubled(own: S3, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    lake = place_on(own, tmp_path).lake()
    writing = Writing(lake.writer(Kind.LOGS), 120)
    writing.start()
    for _ in range(4):
        before = writing.committed
        while writing.committed == before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        own.node.kill()
        time.sleep(chance.uniform(0, 0.3))
        own.node.start()
    writing.join(60)

    assert writing.committed == 120
    assert counts(lake) == all_of(120)
    lake.close()


def test_paused_in_the_middle_the_writer_waits_and_goes_on(own: S3, tmp_path: Path) -> None:
    lake = place_on(own, tmp_path).lake()
    writing = Writing(lake.writer(Kind.LOGS), 30)
    writing.start()
    while writing.committed < 5:
        time.sleep(0.005)
    own.node.pause()
    time.sleep(3)
    stood = writing.committed
    own.node.resume()
    writing.join(60)

    assert stood < 30
    assert counts(lake) == all_of(30)
    lake.close()


@pytest.mark.parametrize("how", ["killed", "paused"])
def test_while_s3_is_away_questions_say_so_and_answer_again_when_it_is_back(own: S3, tmp_path: Path, how: str) -> None:
    place = place_on(own, tmp_path)
    lake = place.lake()
    search = Search(None, lake, place.settings)
    Writing(lake.writer(Kind.LOGS), 2).run()
    asked = RecordQuery(Kind.LOGS, All(), None, None, 100)
    assert len(search.records(ACME, asked).records) == 10
    own.node.kill() if how == "killed" else own.node.pause()
    words = "cannot be reached" if how == "killed" else "does not answer in time"
    for _ in range(3):
        with pytest.raises(StoreError, match=words):
            search.records(ACME, asked)
    own.node.start() if how == "killed" else own.node.resume()

    assert eventually(lambda: len(search.records(ACME, asked).records)) == 10
    lake.close()


def test_many_questions_at_once_wait_no_longer_than_one(own: S3, tmp_path: Path) -> None:
    lake = place_on(own, tmp_path).lake()
    Writing(lake.writer(Kind.LOGS), 1).run()
    with FaultyS3(own.endpoint) as faulty:
        away = place_on(own, tmp_path, s3_endpoint=faulty.url).lake()
        faulty.script = lambda method, path: Fault(cut=True)
        for _ in range(20):
            with pytest.raises(StoreError):
                away.snapshot(Kind.LOGS)

        assert len(faulty.seen) <= 3, "each question asked by itself"
        away.close()
    lake.close()


def test_away_at_the_start_the_writer_opens_when_it_is_there(own: S3, tmp_path: Path) -> None:
    place = place_on(own, tmp_path)
    own.node.stop()
    lake = place.lake()
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        lake.writer(Kind.LOGS)
    assert "HEADWATER_S3_ENDPOINT" in caught.value.hint
    own.node.start()

    Writing(lake.writer(Kind.LOGS), 2).run()
    assert counts(lake) == all_of(2)
    lake.close()


def test_a_missing_bucket_is_named_and_used_once_it_is_made(s3: S3, tmp_path: Path) -> None:
    place = place_on(s3, tmp_path)
    lake = Lake("s3://not-yet-there/lake", place.settings)
    for action in (lambda: lake.writer(Kind.LOGS), lambda: lake.checkpoints(Kind.LOGS)):
        with pytest.raises(StoreError, match="bucket does not exist") as caught:
            action()
        assert "HEADWATER_LAKE_URL" in caught.value.hint
    client_of(s3).create_bucket(Bucket="not-yet-there")

    Writing(lake.writer(Kind.LOGS), 2).run()
    assert eventually(lambda: counts(lake)) == all_of(2)
    lake.close()


@pytest.mark.parametrize(
    ("key", "words"), [("s3_secret_key", "secret key|denies access"), ("s3_access_key", "access key|denies access")]
)
def test_a_wrong_key_is_said_without_being_shown(s3: S3, tmp_path: Path, key: str, words: str) -> None:
    lake = place_on(s3, tmp_path, **{key: "not-the-one"}).lake()
    for action in (lambda: lake.writer(Kind.LOGS), lambda: lake.checkpoints(Kind.LOGS)):
        with pytest.raises(StoreError, match=words) as caught:
            action()
        assert caught.value.hint
        assert "not-the-one" not in f"{caught.value} {caught.value.hint}"
    lake.close()


def test_a_commit_that_cannot_be_made_for_long_is_kept_and_made_later(s3: S3, tmp_path: Path) -> None:
    with FaultyS3(s3.endpoint) as faulty:
        place = place_on(s3, tmp_path, s3_endpoint=faulty.url, s3_write_timeout_s=0.5)
        lake, writer = place.lake(), place.writer()
        writer.append([lines(0)])
        faulty.script = lambda method, path: Fault(status=503) if method == "PUT" else None
        for _ in range(2):
            with pytest.raises(StoreError, match="answers with errors") as caught:
                writer.commit()
            assert "nothing is lost" in caught.value.hint
        faulty.script = lambda method, path: None
        writer.commit()

        assert counts(lake) == all_of(1)
        lake.close()
