"""Queries on a real OpenSearch: the same answers as the reference and as the embedded store, whatever is stored."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.batches import Batch
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import And, Cursor, Exists, Node, Not, Or, Range, RecordQuery, Term, Wildcard
from lakehouse import open_hot
from lakehouse.hot.opensearch.terms import LONGEST
from scripts.engines.opensearch import OpenSearch
from tests.lakehouse.hot.tantivy import test_query as embedded
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log
from tests.lakehouse.reference import page, select, stored
from tests.settings import settings

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # each example makes indexes: shrinking would take minutes
CALM = hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)

LONG = ["v" * LONGEST, "v" * (LONGEST + 1), "v" * LONGEST + "ab", "é" * (LONGEST + 1), ["w"] * LONGEST]
PATTERNS = ["*", "v*", "v*b", "*a?", "?", "é*", '["w"*', "1*0", "*V*", "\\v*", ""]
BOUNDS = [None, "v", "v" * LONGEST, "v" * LONGEST + "a", "w", 5, 10**40]


def among(values: list[Any]) -> st.SearchStrategy[Any]:
    """`st.sampled_from`, for values that are too long to be named in a report."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


long_rows = st.lists(
    st.builds(
        log,
        attributes=st.dictionaries(st.sampled_from(["k", "j"]), among([*LONG, "v", "", 7]), max_size=2),
        service=among(["", "v", *LONG[:4]]),
        trace_id=among(["", "t", "v" * (LONGEST + 1)]),
    ),
    min_size=1,
    max_size=8,
)
long_fields = st.sampled_from(["attributes.k", "service", "trace_id"])
long_leaves = st.one_of(
    st.builds(Term, long_fields, among([*LONG[:4], "v", ""])),
    st.builds(Wildcard, long_fields, st.sampled_from(PATTERNS)),
    st.builds(Range, long_fields, among(BOUNDS), among(BOUNDS), st.booleans(), st.booleans()),
    st.builds(Exists, long_fields),
    st.just(Term("body", "hello")),
)
long_trees: st.SearchStrategy[Node] = st.recursive(
    long_leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=2).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=2).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=4,
)


@contextlib.contextmanager
def filled(url: str, *batches: Batch) -> Iterator[HotStore]:
    """A hot store of its own prefix that holds `batches`; its indexes are dropped at the end."""
    with contextlib.closing(open_hot(url, settings(opensearch_prefix=f"q{secrets.token_hex(4)}"))) as hot:
        with contextlib.closing(hot.writer(batches[0].kind)) as writer:
            writer.append(batches)
            writer.commit()
        yield hot
        for day in hot.days(batches[0].kind):
            hot.drop_day(batches[0].kind, day)


def spread(samples: list[list[Any]]) -> list[Batch]:
    """Rows over two partitions, some days and two tenants."""
    return [
        batch(
            *embedded.numbered(sample),
            offset=at // 2,
            partition=at % 2,
            tenant=ACME if at < 2 else OTHER,
            received_ns=NOON_NS + at * DAY_NS,
        )
        for at, sample in enumerate(samples)
    ]


def check(hot: HotStore, batches: list[Batch], node: Node, data: st.DataObject, *between: int | None) -> None:
    """`node` counts, pages and tails as the reference does."""
    known, days = stored(batches), hot.days(Kind.LOGS)
    start_ns, end_ns = between
    expected = select(known, ACME, node, start_ns, end_ns)
    assert hot.count(ACME, Kind.LOGS, node, start_ns, end_ns, days) == len(expected), node
    place = data.draw(st.sampled_from([None, *known]))
    after = Cursor(place.timestamp_ns, place.position) if place else None
    query = RecordQuery(
        Kind.LOGS, node, start_ns, end_ns, data.draw(st.integers(1, 9)), after, data.draw(st.booleans())
    )
    wanted = [(row.timestamp_ns, row.position, row.public) for row in page(known, ACME, query)]
    found = [(record.timestamp_ns, record.position, record.fields) for record in hot.search(ACME, query, days)]
    assert found == wanted, query
    tail = hot.tail(ACME, Kind.LOGS, node, start_ns, end_ns, {0: 1}, 99)
    behind = {row.position for row in expected if (row.position.partition, row.position.offset) != (0, 0)}
    assert {record.position for record in tail} == behind, node


@CALM
@given(
    st.lists(embedded.rows, min_size=1, max_size=3),
    st.lists(embedded.trees, min_size=20, max_size=20),
    embedded.moments,
    embedded.moments,
    st.data(),
)
def test_any_query_answers_what_the_reference_and_the_embedded_store_answer(
    opensearch: OpenSearch,
    samples: list[list[Any]],
    nodes: list[Node],
    start_ns: int | None,
    end_ns: int | None,
    data: st.DataObject,
) -> None:
    batches = spread(samples)
    with (
        filled(opensearch.url, *batches) as hot,
        tempfile.TemporaryDirectory() as folder,
        filled(f"tantivy://{folder}", *batches) as other,
    ):
        for node in nodes:
            check(hot, batches, node, data, start_ns, end_ns)
            query = RecordQuery(Kind.LOGS, node, start_ns, end_ns, 99)
            theirs = other.search(ACME, query, other.days(Kind.LOGS))
            assert hot.search(ACME, query, hot.days(Kind.LOGS)) == theirs, node


@CALM
@given(st.lists(long_rows, min_size=1, max_size=3), st.lists(long_trees, min_size=20, max_size=20), st.data())
def test_values_too_long_for_a_term_answer_as_the_reference_says(
    opensearch: OpenSearch, samples: list[list[Any]], nodes: list[Node], data: st.DataObject
) -> None:
    batches = spread(samples)
    with filled(opensearch.url, *batches) as hot:
        for node in nodes:
            check(hot, batches, node, data, None, None)


def count(hot: HotStore, node: Node, kind: Kind = Kind.LOGS) -> int:
    return hot.count(ACME, kind, node, None, None, hot.days(kind))
