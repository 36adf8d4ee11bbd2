"""One meaning of a query: hot index, SQL and the test of rows find what the reference finds, of awkward records."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import Cursor, Node, RecordQuery, Tier
from lakehouse import open_hot, open_lake
from lakehouse.match import record_matcher
from lakehouse.read.search import Search
from tests.lakehouse.awkward import Maker
from tests.lakehouse.lake_samples import ACME, OTHER, batch
from tests.lakehouse.reference import Stored, page, select, stored
from tests.settings import settings

ROWS, QUERIES = 40, 100
SOAK_ROUNDS = int(os.environ.get("HEADWATER_SOAK_ANSWERS", "0"))  # of 200 queries


def places(found: list[Stored]) -> list[int]:
    return [row.position.index for row in found]


def check_round(folder: Path, seed: int, queries: int = QUERIES, hot_url: str = "") -> None:
    """Queries over records of one seed."""
    maker, values = Maker(seed), settings(data_dir=folder, opensearch_prefix=f"q{secrets.token_hex(4)}")
    batches = [batch(*maker.rows(ROWS), offset=0), batch(*maker.rows(3), offset=0, partition=1, tenant=OTHER)]
    known = stored(batches)
    with (
        contextlib.closing(open_lake(values.lake, values)) as lake,
        contextlib.closing(open_hot(hot_url or f"tantivy://{folder}/hot", values)) as hot,
    ):
        for writer in (lake.writer(Kind.LOGS), hot.writer(Kind.LOGS)):
            with contextlib.closing(writer):
                writer.append(batches)
                writer.commit()
        search, days = Search(hot, lake, values), hot.days(Kind.LOGS)
        for number in range(queries):
            node = maker.node()
            expected = select(known, ACME, node)
            tell = f"seed {seed}, query {number}: {node!r}"
            matches = record_matcher(node, Kind.LOGS)
            rows = [
                row
                for row in known
                if row.columns["tenant"] == ACME and matches(row.columns | {"timestamp_ns": row.timestamp_ns})
            ]
            assert {row.position for row in rows} == {row.position for row in expected}, f"rows, {tell}"
            for tier in (Tier.HOT, Tier.LAKE):
                whole = search.records(
                    ACME, RecordQuery(Kind.LOGS, node, None, None, ROWS + 1, newest_first=False), {tier}
                )
                assert not whole.partial
                assert places_of(whole.records) == places(expected), f"{tier}, {tell}"
                check_page(search, tier, known, node, number, tell)
            assert hot.count(ACME, Kind.LOGS, node, None, None, days) == len(expected), f"count, {tell}"
        for day in days:
            hot.drop_day(Kind.LOGS, day)


def places_of(records: Sequence[Found]) -> list[int]:
    return [record.position.index for record in records]


def check_page(search: Search, tier: Tier, known: list[Stored], node: Node, number: int, tell: str) -> None:
    after = known[number % ROWS] if number % 3 else None
    cursor = Cursor(after.timestamp_ns, after.position) if after else None
    query = RecordQuery(Kind.LOGS, node, None, None, 1 + number % 5, cursor, number % 2 == 0)
    found = search.records(ACME, query, {tier}).records
    wanted = page(known, ACME, query)
    assert [record.fields for record in found] == [row.public for row in wanted], f"page of {tier}, {tell}"


@pytest.mark.parametrize("seed", range(4))
def test_every_tier_finds_what_the_reference_finds(tmp_path: Path, seed: int) -> None:
    check_round(tmp_path, seed)


@pytest.mark.skipif(not SOAK_ROUNDS, reason="a longer run: make soak-answers")
@pytest.mark.timeout(0)
def test_soak_of_queries_has_one_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    for seed in range(SOAK_ROUNDS):
        check_round(tmp_path_factory.mktemp("round"), 100_000 + seed, 200)
