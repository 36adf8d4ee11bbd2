"""A hot store that is behind the lake holds no day in full: what a page says while it is filled again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from lakehouse import open_hot
from lakehouse.lake.store import Lake
from lakehouse.read import search
from lakehouse.read.search import Search
from tests.lakehouse.lake_samples import ACME, NOON_NS, batch, log
from tests.settings import settings


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(str(tmp_path / "lake"), settings())
    yield opened
    opened.close()


def hot_store(tmp_path: Path) -> HotStore:
    return open_hot(f"tantivy://{tmp_path / 'hot'}", settings())


def items(partition: int, offsets: range) -> list[Batch]:
    """Five records a batch; event times of partitions interleave."""
    return [
        batch(
            *(log(n, f"{partition}-{at}-{n}", at_ns=NOON_NS + (n * 7 + at) % 9 * 1000) for n in range(5)),
            offset=at,
            partition=partition,
        )
        for at in offsets
    ]


def fill_hot(hot: HotStore, *parts: list[Batch]) -> None:
    writer = hot.writer(Kind.LOGS)
    for part in parts:
        writer.append(part)
    writer.commit()
    writer.close()


def fill_lake(lake: Lake, *parts: list[Batch]) -> None:
    writer = lake.writer(Kind.LOGS)
    for part in parts:
        writer.append(part)
    writer.commit()


def query(limit: int = 1000, newest_first: bool = True) -> RecordQuery:
    return RecordQuery(Kind.LOGS, All(), None, None, limit, None, newest_first)


def bodies_of(parts: list[list[Batch]]) -> set[str]:
    return {row.body for part in parts for item in part for row in item.rows}  # type: ignore[union-attr]  # logs


def pages(search: Search, asked: RecordQuery, why: str = "") -> list[str]:
    """`why`: what each page says of the hot store."""
    found: list[str] = []
    while True:
        page = search.records(ACME, asked)
        assert page.partial == bool(why)
        assert not why or why in page.tiers["hot"].error
        found += [record.fields["body"] for record in page.records]
        if page.next is None:
            return found
        asked = replace(asked, after=page.next)


def test_a_deleted_hot_folder_hides_nothing_while_it_is_filled_again(tmp_path: Path, lake: Lake) -> None:
    whole = [items(0, range(6)), items(1, range(6))]
    fill_hot(hot_store(tmp_path), *whole)
    fill_lake(lake, *whole)
    shutil.rmtree(tmp_path / "hot")

    answers = []
    for first, second in ((0, 0), (2, 0), (2, 6), (5, 6), (6, 6)):
        hot = hot_store(tmp_path)
        fill_hot(hot, items(0, range(first)), items(1, range(second)))
        page = Search(hot, lake, settings()).records(ACME, query())
        answers.append((len(page.records), len(page.tiers["hot"].days), page.partial))

    # Partial: what comes now may be in neither store before the next commit of the lake.
    assert answers == [(60, 0, True)] * 4 + [(60, 1, False)]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_crash_that_left_the_lake_ahead_in_one_partition_costs_no_record_and_repeats_none(
    tmp_path: Path, lake: Lake, limit: int, newest_first: bool
) -> None:
    hot = hot_store(tmp_path)
    fill_hot(hot, items(0, range(2)), items(1, range(5)))
    fill_lake(lake, items(0, range(4)), items(1, range(3)))

    found = pages(Search(hot, lake, settings()), query(limit, newest_first), "2 messages behind the lake")
    assert len(found) == len(set(found)) == 45
    assert set(found) == bodies_of([items(0, range(4)), items(1, range(5))])
    fill_lake(lake, items(1, range(5)))
    assert found == pages(Search(None, lake, settings()), query(1000, newest_first))


def test_a_hot_store_ahead_of_the_lake_answers_for_its_days(tmp_path: Path, lake: Lake) -> None:
    hot = hot_store(tmp_path)
    fill_hot(hot, items(0, range(4)), items(1, range(4)))
    fill_lake(lake, items(0, range(4)), items(1, range(2)))

    page = Search(hot, lake, settings()).records(ACME, query())
    assert (len(page.records), page.tiers["hot"].rows, len(page.tiers["hot"].days)) == (40, 40, 1)


def test_more_past_the_lake_than_is_looked_at_is_said(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = hot_store(tmp_path)
    fill_hot(hot, items(1, range(4)))
    fill_lake(lake, items(0, range(1)))
    monkeypatch.setattr(search, "TAIL_ROWS", 20)

    page = Search(hot, lake, settings()).records(ACME, query())
    assert page.partial
    assert "the lake is behind" in page.tiers["hot"].error


def test_a_hot_store_that_cannot_say_how_far_it_is_answers_for_no_day(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away a moment ago: it may be far behind by now, and its days are not whole."""
    hot = hot_store(tmp_path)
    fill_hot(hot, items(0, range(2)))
    fill_lake(lake, items(0, range(4)))

    def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(type(hot), "checkpoints", away)
    page = Search(hot, lake, settings()).records(ACME, query())
    assert {record.fields["body"] for record in page.records} == bodies_of([items(0, range(4))])
    assert page.partial
    assert "away" in page.tiers["hot"].error


def test_a_lake_that_comes_back_between_two_looks_loses_nothing_of_a_day_that_hot_lacks(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = hot_store(tmp_path)
    fill_hot(hot, items(0, range(2)))
    fill_lake(lake, items(0, range(4)))

    def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(lake, "landed", away)
    page = Search(hot, lake, settings()).records(ACME, query())
    assert {record.fields["body"] for record in page.records} == bodies_of([items(0, range(4))])
    assert page.partial
