"""Days rebuilt on a real OpenSearch: killed at every step, searched all the while, indexes of others and older ones."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.errors import StoreError
from contracts.failpoints import VARIABLE
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from lakehouse.hot.opensearch import days as hot_opensearch_days
from lakehouse.hot.opensearch import rebuild as steps
from lakehouse.hot.opensearch.client import Client
from lakehouse.hot.opensearch.state import Days, KindState
from lakehouse.read.search import Search
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from scripts.engines.opensearch import OpenSearch
from tests import children
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log
from tests.lakehouse.upkeep.rebuild.test_hot_day import DAY, NEXT, answers, land, load
from tests.real.opensearch_calls import Calls, today
from tests.settings import settings

POINTS = (steps.BUILT, steps.MOVED, steps.NOTED, steps.REMOVED)


@pytest.fixture
def care(opensearch: OpenSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Care]:
    monkeypatch.setenv("HEADWATER_OPENSEARCH_PREFIX", f"t{secrets.token_hex(4)}")
    monkeypatch.setenv("HEADWATER_HOT_URL", opensearch.url)
    with contextlib.closing(Care(settings(data_dir=tmp_path), lambda: NOON_NS + 3 * DAY_NS)) as opened:
        yield opened


@pytest.fixture
def calls(opensearch: OpenSearch) -> Calls:
    return Calls(opensearch.endpoint)


def names(calls: Calls, care: Care) -> list[str]:
    """Of the indexes of the day."""
    return sorted(calls.get(f"/{care.settings.opensearch_prefix}-logs-{today()}*/_settings"))


def child(care: Care, point: str, *words: str) -> int:
    env = os.environ | {VARIABLE: point}
    return children.run("tests.lakehouse.upkeep.rebuild_child", care.settings.data, *words, env=env).returncode


@pytest.mark.parametrize("before", ["trusted", "dropped"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_the_day_is_the_old_or_the_new_one_and_the_next_rebuild_completes_it(
    point: str, before: str, care: Care, calls: Calls
) -> None:
    land(care, load(Kind.LOGS, messages=12))
    right = answers(care.hot, Kind.LOGS, [DAY])
    if before == "dropped":
        care.hot.drop_day(Kind.LOGS, DAY)
    assert child(care, point) == -signal.SIGKILL

    late = batch(log(body="late"), offset=50)
    if DAY in care.hot.days(Kind.LOGS):
        assert answers(care.hot, Kind.LOGS, [DAY]) == right
    land(care, [late])
    if DAY in care.hot.days(Kind.LOGS):
        assert len(answers(care.hot, Kind.LOGS, [DAY])) == len(right) + 1

    rebuild_hot(care, Kind.LOGS, DAY)
    assert len(names(calls, care)) == 1
    assert len(answers(care.hot, Kind.LOGS, [DAY])) == len(right) + 1
    assert care.hot.days(Kind.LOGS) == [DAY, NEXT]


@pytest.mark.parametrize("act", ["drop", "forget"])
def test_killed_when_a_day_is_marked_it_is_no_longer_hot_and_the_next_call_removes_its_index(
    act: str, care: Care, calls: Calls
) -> None:
    land(care, load(Kind.LOGS, messages=6))

    assert child(care, hot_opensearch_days.MARKED, act) == -signal.SIGKILL

    assert care.hot.days(Kind.LOGS) == [NEXT]
    assert len(names(calls, care)) == 1
    care.hot.drop_day(Kind.LOGS, DAY) if act == "drop" else care.hot.forget(Kind.LOGS, DAY)
    assert (names(calls, care), care.hot.days(Kind.LOGS)) == ([], [NEXT])


def test_searches_see_each_record_once_while_days_are_rebuilt_dropped_and_forgotten(care: Care) -> None:
    land(care, load(Kind.LOGS))
    ids = {found.fields["id"] for found in answers(care.hot, Kind.LOGS, [DAY])}
    stop, query = threading.Event(), RecordQuery(Kind.LOGS, All(), NOON_NS, NOON_NS + DAY_NS, 10_000)

    def read() -> int:
        looked = 0
        with contextlib.closing(Care(care.settings, care.now_ns)) as own:
            search = Search(own.hot, own.lake, own.settings)
            while not stop.is_set():
                pages = [search.records(tenant, query) for tenant in (ACME, OTHER)]
                found = [record.fields["id"] for page in pages for record in page.records]
                assert not any(page.partial for page in pages), [page.tiers for page in pages]
                assert len(found) == len(set(found))
                assert set(found) == ids
                looked += 1
        return looked

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            for step in range(8):
                if step == 4:
                    care.hot.drop_day(Kind.LOGS, DAY)
                elif step == 6:
                    care.hot.forget(Kind.LOGS, DAY)
                rebuild_hot(care, Kind.LOGS, DAY)
        finally:
            stop.set()
        assert all(reader.result() > 3 for reader in readers)


def test_an_index_of_others_is_not_replaced(care: Care, calls: Calls) -> None:
    index = f"{care.settings.opensearch_prefix}-logs-{today()}"
    calls.call("PUT", f"/{index}", {"mappings": {"properties": {"body": {"type": "long"}}}})  # before our templates
    with pytest.raises(StoreError, match="not Headwater's"):
        rebuild_hot(care, Kind.LOGS, DAY)
    assert names(calls, care) == [index]


def test_an_index_of_an_older_format_is_left_to_the_lake_until_it_is_rebuilt(
    care: Care, opensearch: OpenSearch
) -> None:
    def older(days: Days) -> None:
        days.days[DAY].format = 0

    land(care, load(Kind.LOGS, messages=6))
    before = answers(care.hot, Kind.LOGS, [DAY])
    with contextlib.closing(Client(opensearch.url, care.settings, 30)) as client:
        KindState(client, care.settings.opensearch_prefix, Kind.LOGS).change_days(older)
    assert care.hot.days(Kind.LOGS) == [NEXT]
    rebuild_hot(care, Kind.LOGS, DAY)
    assert care.hot.days(Kind.LOGS) == [DAY, NEXT]
    assert answers(care.hot, Kind.LOGS, [DAY]) == before
