"""OpenSearch killed, paused, absent or with small limits: nothing acknowledged is lost or doubled, and whoever asks is
told why there is no answer. The engine is this file's own."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from contracts.settings import Settings
from lakehouse import open_hot, open_lake
from lakehouse.read.search import Search
from scripts.engines import opensearch as engines
from scripts.engines.opensearch import OpenSearch
from tests.conftest import needs
from tests.lakehouse.lake_samples import ACME, batch, log
from tests.real.opensearch_calls import bodies, write
from tests.settings import settings
from tests.waiting import until

SMALL = {"http.max_content_length": "300kb"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    needs(engines)
    with engines.running(home=tmp_path_factory.mktemp("opensearch"), settings=SMALL) as running:
        yield running


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(
        opensearch_prefix=f"f{secrets.token_hex(4)}",
        opensearch_timeout_s=1,
        opensearch_write_timeout_s=2,
        opensearch_bulk_docs=100,
        lake_url=str(tmp_path / "lake"),
    )


@pytest.fixture
def hot(engine: OpenSearch, chosen: Settings) -> Iterator[HotStore]:
    with contextlib.closing(open_hot(engine.url, chosen)) as store:
        yield store


def numbered(offset: int, rows: int) -> Batch:
    return batch(*(log(index, body=f"{offset}-{index}") for index in range(rows)), offset=offset)


def persist(hot: HotStore, stop: threading.Event, acknowledged: list[str]) -> None:
    """Write batch after batch as a flow does: after a failure a new writer is given what is not committed."""
    batches = (
        batch(*(log(index, body=f"{at}-{index}") for index in range(250)), offset=at) for at in itertools.count()
    )
    waiting = [next(batches)]
    while not stop.is_set():
        try:
            with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
                writer.append(waiting)
                while not stop.is_set():
                    writer.commit()
                    acknowledged += [row.body for one in waiting for row in one.rows]  # type: ignore[union-attr]
                    waiting = [next(batches)]
                    writer.append(waiting)
        except StoreError:
            time.sleep(0.1)


def test_an_engine_killed_amid_bulk_requests_loses_and_doubles_nothing(
    engine: OpenSearch, hot: HotStore, chosen: Settings
) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=persist, args=(hot, stop, acknowledged))
    thread.start()
    try:
        for _ in range(3):
            so_far = len(acknowledged)
            until(lambda so_far=so_far: len(acknowledged) >= so_far + 1500)  # type: ignore[misc]  # mypy types no default
            engine.node.kill()
            engine.node.start()
        so_far = len(acknowledged)
        until(lambda: len(acknowledged) > so_far)
    finally:
        stop.set()
        thread.join()
    with contextlib.closing(open_hot(engine.url, chosen)) as again:
        days = again.days(Kind.LOGS)
        found = again.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 1_000_000), days)
        there = [record.fields["body"] for record in found]
        assert len(there) == len(set(there))
        assert set(acknowledged) <= set(there)
        assert again.checkpoints(Kind.LOGS)[0] * 250 >= len(acknowledged)


def test_a_paused_engine_leaves_answers_to_the_lake_with_the_reason_and_is_found_again(
    engine: OpenSearch, hot: HotStore, chosen: Settings
) -> None:
    made = [batch(log(body="old"), offset=0), batch(log(body="new"), offset=1)]
    with contextlib.closing(open_lake(chosen.lake, chosen)) as lake:
        with contextlib.closing(lake.writer(Kind.LOGS)) as writer:
            writer.append(made[:1])
            writer.commit()
        write(hot, *made)
        search = Search(hot, lake, chosen)
        query = RecordQuery(Kind.LOGS, All(), None, None, 9)
        assert [record.fields["body"] for record in search.records(ACME, query).records] == ["new", "old"]

        engine.node.pause()
        try:
            partial = [search.records(ACME, query) for _ in range(3)]
        finally:
            engine.node.resume()
        for page in partial:
            assert page.partial
            assert [record.fields["body"] for record in page.records] == ["old"]
            assert "did not answer within 1 s" in page.tiers["hot"].error

        until(lambda: not search.records(ACME, query).partial)
        assert [record.fields["body"] for record in search.records(ACME, query).records] == ["new", "old"]


def test_a_paused_engine_makes_a_commit_fail_and_a_replay_writes_each_record_once(
    engine: OpenSearch, hot: HotStore
) -> None:
    made = [
        batch(*(log(index, body=f"{offset}-{index}") for index in range(120)), offset=offset) for offset in range(3)
    ]
    write(hot, made[0])
    engine.node.pause()
    try:
        with pytest.raises(StoreError, match="did not answer"):
            write(hot, *made)
    finally:
        engine.node.resume()
    until(lambda: _written(hot, *made))
    assert len(bodies(hot)) == len(set(bodies(hot))) == 360


def _written(hot: HotStore, *made: object) -> bool:
    try:
        write(hot, *made)  # type: ignore[arg-type]
    except StoreError:
        return False
    return True


def test_an_engine_that_goes_away_under_a_writer_is_told_by_the_commit_not_by_what_is_appended(
    engine: OpenSearch, hot: HotStore
) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        engine.node.kill()
        try:
            for offset in range(3):
                writer.append([batch(*(log(index) for index in range(500)), offset=offset)])
            with pytest.raises(StoreError, match="cannot be reached"):
                writer.commit()
        finally:
            engine.node.start()
        with pytest.raises(StoreError):
            writer.commit()
    until(lambda: _written(hot, batch(log(), offset=0)))


def test_a_store_opened_while_the_engine_is_absent_works_when_it_comes(engine: OpenSearch, chosen: Settings) -> None:
    engine.node.kill()
    try:
        hot = open_hot(engine.url, chosen)
        for ask in (hot.days, hot.checkpoints, hot.writer):
            with pytest.raises(StoreError, match="cannot be reached") as caught:
                ask(Kind.LOGS)
            assert "HEADWATER_HOT_URL" in caught.value.hint
    finally:
        engine.node.start()
    with contextlib.closing(hot):
        until(lambda: _written(hot, batch(log(body="there"), offset=0)))
        until(lambda: _answers(hot))
        assert bodies(hot) == ["there"]


def _answers(hot: HotStore) -> bool:
    try:
        return bool(hot.days(Kind.LOGS))
    except StoreError:
        return False


def test_requests_over_the_engines_limit_are_sent_in_parts(hot: HotStore) -> None:
    write(hot, batch(*(log(index, body="w" * 20_000) for index in range(60)), offset=0))
    assert len(bodies(hot)) == 60
    assert hot.checkpoints(Kind.LOGS) == {0: 1}
