"""Which days of the hot store hold what is to be erased, while flows take days out of it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import Term
from lakehouse import open_hot
from lakehouse.lake.erasure_requests import Request, days_with
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, batch, log
from tests.settings import settings

TODAY, TOMORROW = dt.date(2026, 3, 4), dt.date(2026, 3, 5)
REQUEST = Request("e1", ACME, {Kind.LOGS: Term("body", "bob")}, "bob", NOON_NS, "", "ada")


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[HotStore]:
    """Two days, each with a record of the subject."""
    with contextlib.closing(open_hot(f"tantivy://{tmp_path}/hot", settings())) as store:
        with contextlib.closing(store.writer(Kind.LOGS)) as writer:
            writer.append([batch(log(body="bob"), offset=at, received_ns=NOON_NS + at * DAY_NS) for at in (0, 1)])
            writer.commit()
        yield store


def refusing(hot: HotStore, monkeypatch: pytest.MonkeyPatch, times: int, meanwhile: Any = lambda: None) -> None:
    """The first counts fail, as when a day goes under them."""
    left, count = [None] * times, hot.count

    def counted(*arguments: Any) -> int:
        if left:
            left.pop()
            meanwhile()
            raise StoreError("a day of the hot store was dropped meanwhile")
        return count(*arguments)

    monkeypatch.setattr(hot, "count", counted)


def test_a_day_that_a_flow_takes_out_while_it_is_looked_into_is_none(
    hot: HotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert days_with(hot, Kind.LOGS, REQUEST) == [TODAY, TOMORROW]
    refusing(hot, monkeypatch, 1, lambda: hot.drop_day(Kind.LOGS, TODAY))

    assert days_with(hot, Kind.LOGS, REQUEST) == [TOMORROW]


def test_a_day_that_is_still_there_is_looked_into_again(hot: HotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(hot, monkeypatch, 2)

    assert days_with(hot, Kind.LOGS, REQUEST) == [TODAY, TOMORROW]


def test_a_hot_store_that_cannot_be_read_is_an_error(hot: HotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(hot, monkeypatch, 100)

    with pytest.raises(StoreError, match="meanwhile"):
        days_with(hot, Kind.LOGS, REQUEST)
