"""Blocks of rows: paging, counting and tails give each row once, wherever the cuts between blocks fall."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, And, Cursor, Exists, Node, Not, Range, RecordQuery, Term, Wildcard
from lakehouse import open_hot
from tests.lakehouse.lake_samples import ACME, NOON_NS, OTHER, batch, log
from tests.lakehouse.reference import Stored, page, select, stored
from tests.settings import settings

SERVICES = ["checkout"] * 6 + ["gateway"] * 3 + ["mail", ""]


def load(seed: int = 1) -> list[Batch]:
    """Some 7,000 rows of two tenants in two partitions: many of one time, late ones, small and large batches."""
    rng = random.Random(seed)
    batches, moment = [], NOON_NS
    for offset in range(40):
        rows = []
        for index in range(rng.choice([1, 3, 64, 65, 130, 900])):
            moment += rng.choice([0] * 40 + [1000, 5000, -40_000])
            attributes = {"status": rng.choice([200, 200, 404, 500]), "user": f"u-{rng.randrange(50)}"}
            body = f"request {rng.randrange(2000)} took {rng.choice(['long', 'a while', 'no time'])}"
            service, severity = rng.choice(SERVICES), rng.choice([9, 9, 17])
            rows.append(log(index, body, moment, service=service, severity_number=severity, attributes=attributes))
        tenant = OTHER if offset % 7 == 3 else ACME
        batches.append(batch(*rows, offset=offset // 2, partition=offset % 2, tenant=tenant))
    return batches


BATCHES = load()
ROWS = stored(BATCHES)
NODES = [
    All(),
    Term("body", "long"),
    Term("body", "request 17"),
    And((Term("service", "checkout"), Range("severity_number", 17, None))),
    And((Term("attributes.status", "500"), Not(Term("body", "no time")), Term("attributes.user", "u-7"))),
    Not(Exists("service")),
    Wildcard("body", "1?3"),
    Range("attributes.status", 400, 499),
]


@functools.cache
def matching(node: Node) -> list[Stored]:
    """What the reference finds, oldest first; asked once a node, as it looks at every row."""
    return select(ROWS, ACME, node)


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HotStore]:
    folder = tmp_path_factory.mktemp("hot")
    with contextlib.closing(open_hot(f"tantivy://{folder}", settings())) as store:
        with contextlib.closing(store.writer(Kind.LOGS)) as writer:
            for number, one in enumerate(BATCHES):
                writer.append([one])
                if number % 11 == 10:
                    writer.commit()
            writer.commit()
        yield store


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("node", NODES, ids=str)
def test_pages_give_each_row_once_and_in_order(hot: HotStore, node: Node, newest_first: bool) -> None:
    after: Cursor | None = None
    expected = matching(node)[:: -1 if newest_first else 1]
    found: list[Cursor] = []
    while True:
        query = RecordQuery(Kind.LOGS, node, None, None, 997, after, newest_first)
        rows = hot.search(ACME, query, hot.days(Kind.LOGS))
        found += [row.cursor for row in rows]
        if len(rows) < 997:
            break
        after = rows[-1].cursor
    assert found == [Cursor(row.timestamp_ns, row.position) for row in expected]


@pytest.mark.parametrize("node", NODES, ids=str)
def test_small_pages_from_any_place_are_what_the_reference_gives(hot: HotStore, node: Node) -> None:
    rng = random.Random(5)
    for _ in range(40):
        start = rng.choice([None, NOON_NS + rng.randrange(-1_000_000, 3_000_000)])
        end = None if start is None else start + rng.choice([1, 1000, 400_000])
        place = rng.choice(ROWS)
        after = rng.choice([None, Cursor(place.timestamp_ns, place.position)])
        query = RecordQuery(Kind.LOGS, node, start, end, rng.choice([1, 2, 70]), after, rng.random() < 0.5)
        found = [row.fields for row in hot.search(ACME, query, hot.days(Kind.LOGS))]
        expected = page(matching(node), ACME, dataclasses.replace(query, where=All()))
        assert found == [row.public for row in expected], query


@pytest.mark.parametrize("node", NODES, ids=str)
def test_counts_and_tails_are_what_the_reference_gives(hot: HotStore, node: Node) -> None:
    assert hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS)) == len(matching(node))
    tail = hot.tail(ACME, Kind.LOGS, node, None, None, {0: 7, 1: 12}, 100_000)
    expected = [row.position for row in matching(node) if row.position.offset >= (7, 12)[row.position.partition]]
    assert sorted(row.position for row in tail) == sorted(expected)


def test_a_query_that_reads_for_too_long_says_so(tmp_path: Path) -> None:
    with contextlib.closing(open_hot(f"tantivy://{tmp_path}", settings(query_timeout_s=1e-9))) as store:
        with contextlib.closing(store.writer(Kind.LOGS)) as writer:
            writer.append(BATCHES)
            writer.commit()
        with pytest.raises(StoreError, match="took too long") as caught:
            store.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 5), store.days(Kind.LOGS))
        assert "shorter time" in caught.value.hint
