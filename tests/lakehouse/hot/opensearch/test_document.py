"""Documents of OpenSearch: made from records and read back; a tree over one says what the reference says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError, QueryError, StoreError
from contracts.messages import Kind
from contracts.query import Exists, Node, Not, Position, Range, Term, Wildcard
from lakehouse import open_hot
from lakehouse.hot.opensearch.client import hosts
from lakehouse.hot.opensearch.document import columns, found, lines, pack, plainer, unpack
from lakehouse.hot.opensearch.query import build
from lakehouse.hot.opensearch.terms import LONGEST, attribute_terms, name_of
from lakehouse.match import record_matcher
from tests.lakehouse import reference
from tests.lakehouse.hot.tantivy import test_query as embedded
from tests.lakehouse.lake_samples import ACME, batch, event, log, metric
from tests.settings import settings
from text.numbers import as_double, sortable


def source(line: bytes) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(line.split(b"\n")[1])
    return read


@given(embedded.rows, st.lists(embedded.trees, min_size=5, max_size=5))
def test_a_record_matches_as_the_reference_says(sample: list[Any], nodes: list[Node]) -> None:
    made = batch(*embedded.numbered(sample), offset=3)
    for line, row in zip(lines(made), reference.stored([made]), strict=True):
        record = columns(Kind.LOGS, ACME, source(line))
        for node in nodes:
            build(node, Kind.LOGS)
            assert record_matcher(node, Kind.LOGS)(record) == reference.matches(node, row), node


@pytest.mark.parametrize("long", [1, LONGEST + 1])
def test_a_document_gives_back_the_record_it_was_made_from(long: int) -> None:
    texts: dict[str, Any] = {
        name: f"{name[0]}" * long for name in ("service", "env", "host", "severity_text", "trace_id", "span_id")
    }
    made = batch(log(7, attributes={"b": "x" * long, "a": {"é": [1.0, 2**70, None]}}, **texts), offset=2, partition=5)
    (line,), (row,) = lines(made), reference.stored([made])
    for one in (line, plainer(line)):
        assert one is not None
        record = columns(Kind.LOGS, ACME, source(one))
        assert found(Kind.LOGS, record).fields == row.public
        assert found(Kind.LOGS, record).position == Position(5, 2, 7)
    assert plainer(plainer(line) or b"") is None


def test_what_was_given_stands_in_the_document_of_a_log() -> None:
    with_it, without = lines(batch(log(0, given='{"v":2,"attributes":["a"]}', zone="UTC"), log(1), offset=0))
    assert (source(with_it)["given"], source(with_it)["zone"]) == ({"v": 2, "attributes": ["a"]}, "UTC")
    assert not {"given", "zone"} & source(without).keys()


def test_metrics_and_events_have_documents_of_their_own() -> None:
    for made, columns_of in (
        (batch(metric(0, -0.0, unit="s"), offset=0, kind=Kind.METRICS), Kind.METRICS),
        (batch(event(0, "deploy"), offset=0, kind=Kind.EVENTS), Kind.EVENTS),
    ):
        (line,), (row,) = lines(made), reference.stored([made])
        assert found(columns_of, columns(columns_of, ACME, source(line))).fields == row.public


def test_a_replayed_batch_makes_the_same_documents_and_ids_sort_as_the_bus_does() -> None:
    made = batch(log(0), log(1), offset=1)
    assert lines(made) == lines(made)
    ids = [lines(batch(log(index), offset=offset, partition=partition))[0][:40] for partition, offset, index in PLACES]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(PLACES)


PLACES = [(0, 0, 0), (0, 0, 65_535), (0, 1, 0), (0, 2**38 - 1, 9), (1, 0, 0), (1023, 2**38 - 1, 65_535)]


def test_positions_are_packed_in_order_and_those_out_of_range_are_refused() -> None:
    packed = [pack(Position(*place)) for place in PLACES]
    assert packed == sorted(packed)
    assert [unpack(each) for each in packed] == [Position(*place) for place in PLACES]
    for place in ((1024, 0, 0), (0, 2**38, 0), (0, 0, 65_536), (-1, 0, 0)):
        with pytest.raises(StoreError, match="cannot be indexed"):
            pack(Position(*place))


@given(st.floats(allow_nan=False) | st.integers(), st.floats(allow_nan=False) | st.integers())
def test_numbers_sort_as_text_as_they_do_as_numbers(one: float, other: float) -> None:
    first, second = as_double(one), as_double(other)
    assert (sortable(one) < sortable(other)) == (first < second)
    assert (sortable(one) == sortable(other)) == (first == second)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_attributes_terms_are_taken_for_anothers(one: str, other: str) -> None:
    first, second = name_of(one), name_of(other)
    assert (first == second) == (one == other)
    terms = attribute_terms({one: "x"})
    assert (terms[0].startswith(f"{second}\x7f")) == (one == other)


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (Term("nothing", "x"), "unknown_field"),
        (Term("value", "1"), "unknown_field"),
        (Wildcard("severity_number", "1*"), "bad_value"),
        (Range("body", "a", "b"), "bad_value"),
        (Term("timestamp", "1"), "bad_value"),
        (Range("timestamp", "a", None), "bad_value"),
    ],
)
def test_a_condition_that_a_field_cannot_have_is_refused(node: Node, code: str) -> None:
    with pytest.raises(QueryError) as caught:
        build(node, Kind.LOGS)
    assert caught.value.code == code


def test_a_tree_that_is_too_deep_is_refused() -> None:
    node: Node = Exists("body")
    for _ in range(500):
        node = Not(node)
    with pytest.raises(QueryError, match="nested"):
        build(node, Kind.LOGS)


def test_a_url_names_hosts_and_neither_user_nor_path() -> None:
    assert hosts("opensearch://a,b:91") == [
        {"host": "a", "port": 9200, "use_ssl": False},
        {"host": "b", "port": 91, "use_ssl": False},
    ]
    assert hosts("opensearchs://[::1]:9")[0]["use_ssl"]
    for url in ("opensearch://", "opensearch://me:secret@a", "opensearch://a:x", "opensearch://a/path"):
        with pytest.raises(ConfigError) as caught:
            open_hot(url, settings())
        assert "secret" not in f"{caught.value} {caught.value.hint}"
