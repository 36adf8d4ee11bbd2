"""One answer from two tiers: each record once, in order, through pages, moves between tiers, and failures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.answers import Page
from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.messages import Kind
from contracts.query import All, Node, RecordQuery, Term
from lakehouse import open_hot
from lakehouse.lake.store import Lake
from lakehouse.read.search import Search
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log, metric
from tests.settings import settings

TODAY = dt.date(2026, 3, 4)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(str(tmp_path / "lake"), settings())
    yield opened
    opened.close()


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_hot(f"tantivy://{tmp_path / 'hot'}", settings())
    yield opened
    opened.close()


class Writers:
    """Both writers of a kind, as a flow holds them."""

    def __init__(self, hot: HotStore, lake: Lake, kind: Kind = Kind.LOGS) -> None:
        self.hot = hot.writer(kind)
        self.lake = lake.writer(kind)

    def write(self, items: Sequence[Batch], hot: bool = True, lake: bool = True) -> None:
        if hot:
            self.hot.append(items)
            self.hot.commit()
        if lake:
            self.lake.append(items)
            self.lake.commit()


@pytest.fixture
def writers(hot: HotStore, lake: Lake) -> Iterator[Writers]:
    both = Writers(hot, lake)
    yield both
    both.hot.close()


@pytest.fixture
def search(hot: HotStore, lake: Lake) -> Search:
    return Search(hot, lake, settings())


def query(where: Node | None = None, limit: int = 100, newest_first: bool = True) -> RecordQuery:
    return RecordQuery(Kind.LOGS, where or All(), None, None, limit, None, newest_first)


def bodies(records: Sequence[Found]) -> list[str]:
    return [record.fields["body"] for record in records]


def all_pages(search: Search, asked: RecordQuery) -> list[str]:
    found: list[str] = []
    while True:
        page = search.records(ACME, asked)
        found += bodies(page.records)
        if page.next is None:
            return found
        asked = replace(asked, after=page.next)


def two_days() -> list[Batch]:
    """Forty records over two arrival days; event times interleave and repeat."""
    return [
        batch(
            *(log(n, f"{offset}-{n}", at_ns=NOON_NS + (n * 7 + offset) % 5 * 1000) for n in range(10)),
            offset=offset,
            received_ns=NOON_NS + offset // 2 * DAY_NS,
        )
        for offset in range(4)
    ]


def test_a_record_reads_the_same_from_either_tier(search: Search, hot: HotStore, writers: Writers) -> None:
    attributes = {"a": 1, "b": 1.5, "c": "x", "d": True, "e": 'q"\\'}
    writers.write([batch(log(0, "körper", attributes=attributes, trace_id="t", host=""), offset=0)])

    from_hot = search.records(ACME, query())
    hot.drop_day(Kind.LOGS, TODAY)
    from_lake = search.records(ACME, query())

    assert from_hot.tiers["hot"].rows == from_lake.tiers["lake"].rows == 1
    assert from_hot.records == from_lake.records


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 7, 40, 41])
def test_pages_hold_each_record_once_in_order(
    search: Search, hot: HotStore, writers: Writers, limit: int, newest_first: bool
) -> None:
    writers.write(two_days())
    whole = search.records(ACME, query(newest_first=newest_first))
    hot.drop_day(Kind.LOGS, TODAY)
    merged = search.records(ACME, query(newest_first=newest_first))

    assert merged.tiers["hot"].rows == merged.tiers["lake"].rows == 20
    assert bodies(merged.records) == bodies(whole.records)
    assert all_pages(search, query(limit=limit, newest_first=newest_first)) == bodies(whole.records)
    assert len(set(bodies(whole.records))) == 40


def test_a_day_that_hot_gives_up_between_pages_is_read_on_from_the_lake(
    search: Search, hot: HotStore, writers: Writers
) -> None:
    writers.write(two_days())
    first = search.records(ACME, query(limit=15))
    hot.drop_day(Kind.LOGS, TODAY)
    second = search.records(ACME, replace(query(limit=100), after=first.next))

    assert len(set(bodies(first.records) + bodies(second.records))) == 40
    assert second.next is None


def test_records_that_arrive_between_pages_do_not_move_the_others(search: Search, writers: Writers) -> None:
    writers.write(two_days())
    first = search.records(ACME, query(limit=15))
    newer = batch(log(0, "newer", NOON_NS + DAY_NS), offset=4, received_ns=NOON_NS + DAY_NS)
    older = batch(log(0, "older", NOON_NS - DAY_NS), offset=5, received_ns=NOON_NS + DAY_NS)
    writers.write([newer, older])
    second = search.records(ACME, replace(query(limit=100), after=first.next))

    rest = bodies(second.records)
    assert "newer" not in rest
    assert rest[-1] == "older"
    assert len(set(bodies(first.records) + rest)) == 41


def test_what_only_hot_has_is_found_before_the_lake_commits(search: Search, writers: Writers) -> None:
    writers.write([batch(log(), offset=0)], lake=False)

    page = search.records(ACME, query())
    assert (bodies(page.records), page.partial, page.tiers["hot"].days) == (["hello"], False, (TODAY,))


def test_the_lake_alone_answers_when_there_is_no_hot_store(lake: Lake, writers: Writers) -> None:
    writers.write(two_days())

    page = Search(None, lake, settings()).records(ACME, query())
    assert (len(page.records), page.partial, set(page.tiers)) == (40, False, {"lake"})


class Failing:
    """A hot store that holds its days but cannot answer."""

    def __init__(self, inner: HotStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def search(self, *_: object) -> Sequence[Found]:
        raise StoreError("index is damaged")

    def tail(self, *_: object) -> Sequence[Found]:
        raise StoreError("index is damaged")


def test_when_hot_fails_the_lake_answers_for_its_days_and_says_so(hot: HotStore, lake: Lake, writers: Writers) -> None:
    writers.write(two_days())
    search = Search(Failing(hot), lake, settings())  # delegates the rest of the port

    page = search.records(ACME, query())
    assert (len(page.records), page.partial) == (40, True)
    assert "index is damaged" in page.tiers["hot"].error
    assert search.services(ACME, 0, 2 * NOON_NS).partial


def broken_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise StoreError("object store is away")

    monkeypatch.setattr(lake, "snapshot", unreachable)


def test_when_the_lake_fails_hot_answers_and_says_so(
    search: Search, lake: Lake, writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers.write(two_days())
    broken_lake(lake, monkeypatch)

    page: Page = search.records(ACME, query())
    assert (len(page.records), page.partial, page.tiers["lake"].error) == (40, True, "object store is away")
    (service,) = search.services(ACME, 0, 2 * NOON_NS).services
    assert service.logs == 40


def test_no_tier_at_all_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_lake(lake, monkeypatch)
    search = Search(None, lake, settings())

    with pytest.raises(StoreError, match="no tier"):
        search.records(ACME, query())
    with pytest.raises(StoreError, match="no tier"):
        search.services(ACME, 0, NOON_NS)


def test_services_count_each_log_once_whatever_has_landed(search: Search, writers: Writers) -> None:
    old = [log(n, severity_number=17 if n == 0 else 9, host=f"h{n}") for n in range(4)]
    new = [log(0, at_ns=NOON_NS + 5000, severity_number=21, host="h1"), log(1, service="web", env="dev", host="")]
    writers.write([batch(*old, offset=0)])
    writers.write([batch(*new, offset=1), batch(log(), offset=2, tenant=OTHER)], lake=False)

    api, web = search.services(ACME, NOON_NS, NOON_NS + 10**9).services
    assert (api.name, api.env, api.logs, api.errors, api.error_rate) == ("api", "prod", 5, 2, 0.4)
    assert (api.hosts, api.last_seen_ns, api.logs_per_s) == (("h0", "h1", "h2", "h3"), NOON_NS + 5000, 5.0)
    assert (web.name, web.logs, web.hosts) == ("web", 1, ())
    assert search.services(ACME, NOON_NS, NOON_NS + 1000).services[0].logs == 4


def test_events_and_terms_go_through_both_tiers(search: Search, hot: HotStore, writers: Writers) -> None:
    writers.write([*two_days(), batch(log(0, "Needle here"), offset=4, received_ns=NOON_NS + DAY_NS)])
    hot.drop_day(Kind.LOGS, TODAY)

    assert bodies(search.records(ACME, query(Term("body", "needle"))).records) == ["Needle here"]
    assert bodies(search.records(ACME, query(Term("body", "0-3"))).records) == ["0-3"]


def test_metrics_are_not_records_of_logs(search: Search, hot: HotStore, lake: Lake) -> None:
    both = Writers(hot, lake, Kind.METRICS)
    both.write([batch(metric(0, 1.0), offset=0, kind=Kind.METRICS)])
    both.hot.close()

    assert search.records(ACME, query()).records == []
