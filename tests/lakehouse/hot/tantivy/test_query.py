"""Queries of the hot index: the same answers as the brute-force reference, whatever the records and the tree."""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.batches import Batch
from contracts.errors import QueryError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, And, Cursor, Exists, Node, Not, Or, Position, Range, RecordQuery, Term, Wildcard
from lakehouse import open_hot
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, event, log, metric
from tests.lakehouse.reference import page, select, stored
from tests.settings import settings
from text.digits import hex_between, integers_between

WORDS = [
    "error",
    "Error",
    "time-out",
    "straße",
    "İx",
    "Ñandú",
    "κόσμος",
    "ΚΌΣΜΟΣ",
    "42",
    "a",
    "ab",
    "abc",
    "日本語",
    "x_y",
]
WORDS += [
    "K",
    "ſ",
    "don't",
    "10.0.0.1",
    '"k":"v"',
    "\\",
    "\n",
    "\0",
    "\x7f",
    "\x80\x81",
    "~",
    "*",
    "a*b",
    "",
    "!!!",
    "w" * 255,
]
NUMBERS = [0, 1, 1.0, 1.5, -3, -0.0, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 1e300, -1e-300, 404]
VALUES: list[Any] = [*WORDS, *NUMBERS, True, False, None, "1", "1.5", "true", "404", ["a", 1], [], {"x": 1}]
KEYS = ["k", "a.b", "a", "@", "k\x7f", "k~1", "é", "", "long" * 60]
PATTERNS = [
    "*",
    "a*",
    "*b",
    "?",
    "??",
    "a?c",
    "\\*",
    "a\\*b",
    "*\\",
    "*0*",
    "日?語",
    "E*",
    "*or",
    "1*",
    "\\a",
    "İ*",
    "",
    "*\n*",
]

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # each example builds an index: shrinking would take minutes

attributes = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES) | st.text(max_size=6), max_size=4)
bodies = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
rows = st.lists(
    st.builds(
        log,
        body=bodies,
        attributes=attributes,
        service=st.sampled_from(["api", "web", "", "a*b", "API", "日本"]),
        severity_number=st.integers(0, 24),
        at_ns=st.integers(-3, 3).map(lambda step: NOON_NS + step * 1000),
    ),
    min_size=1,
    max_size=12,
)
keywords = st.sampled_from(["service", "trace_id", "producer"]) | st.sampled_from(KEYS).map("attributes.{}".format)
texts = st.sampled_from([*WORDS, "200", "1", "1.0", "true", "null", "-3", "1.5", "1e300", '["a",1]', "[]"])
bounds = st.none() | st.sampled_from(NUMBERS) | texts.filter(lambda text: len(text) < 30)
numbers = st.none() | st.sampled_from([-1, 0, 5, 9, 9.5, 24, 1e300, -1e300])
moments = st.none() | st.integers(-3, 3).map(lambda step: NOON_NS + step * 1000)
leaves = st.one_of(
    st.just(All()),
    st.builds(Term, st.just("body"), bodies),
    st.builds(Term, keywords, texts),
    st.builds(Term, st.just("severity_number"), st.sampled_from(["9", "9.0", "x", "", "nan", "9.5", "1e99"])),
    st.builds(Wildcard, keywords | st.just("body"), st.sampled_from(PATTERNS)),
    st.builds(Exists, keywords | st.sampled_from(["body", "severity_number", "timestamp"])),
    st.builds(Range, keywords, bounds, bounds, st.booleans(), st.booleans()),
    st.builds(Range, st.just("severity_number"), numbers, numbers, st.booleans(), st.booleans()),
    st.builds(Range, st.just("timestamp"), moments, moments, st.booleans(), st.booleans()),
)
trees: st.SearchStrategy[Node] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@contextlib.contextmanager
def filled(*batches: Batch) -> Iterator[HotStore]:
    """A hot store that holds `batches`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_hot(f"tantivy://{folder}", settings())) as hot,
        contextlib.closing(hot.writer(batches[0].kind)) as writer,
    ):
        for one in batches:
            writer.append([one])
            writer.commit()
        yield hot


def numbered(sample: list[Any]) -> list[Any]:
    for index, row in enumerate(sample):
        row.index = index
    return sample


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(st.lists(rows, min_size=1, max_size=3), st.lists(trees, min_size=20, max_size=20), moments, moments, st.data())
def test_any_query_answers_what_the_reference_answers(
    samples: list[list[Any]], nodes: list[Node], start_ns: int | None, end_ns: int | None, data: st.DataObject
) -> None:
    batches = [
        batch(
            *numbered(sample),
            offset=at // 2,
            partition=at % 2,
            tenant=ACME if at < 2 else OTHER,
            received_ns=NOON_NS + at * DAY_NS,
        )
        for at, sample in enumerate(samples)
    ]
    known = stored(batches)
    with filled(*batches) as hot:
        days = hot.days(Kind.LOGS)
        for node in nodes:
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


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_are_exact_when_100_000_records_share_one_timestamp(newest_first: bool) -> None:
    batches = [batch(*(log(index, body="x") for index in range(10_000)), offset=offset) for offset in range(10)]
    with filled(*batches) as hot:
        place = Cursor(NOON_NS, Position(0, 4, 9_998))
        query = RecordQuery(Kind.LOGS, Term("body", "x"), None, None, 5, place, newest_first)
        found = [record.position for record in hot.search(ACME, query, hot.days(Kind.LOGS))]
    if newest_first:
        assert found == [Position(0, 4, 9_997 - step) for step in range(5)]
    else:
        assert found == [Position(0, 4, 9_999), *(Position(0, 5, step) for step in range(4))]


def test_long_values_are_equal_only_as_a_whole_and_found_by_their_beginning() -> None:
    long, longer = "é" * 400, "é" * 401
    rows = [log(0, attributes={"k": long}, service="s" * 300), log(1, attributes={"k": longer}, service="s" * 301)]
    with filled(batch(*rows, offset=0)) as hot:

        def count(node: Node) -> int:
            return int(hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS)))

        assert count(Term("attributes.k", long)) == count(Term("service", "s" * 301)) == 1
        assert count(Term("attributes.k", "é" * 399)) == 0
        assert count(Wildcard("attributes.k", "ééé*")) == 2
        newest, _ = hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), hot.days(Kind.LOGS))
        assert newest.fields["attributes"] == {"k": longer}


def test_a_word_is_found_whole_however_long_it_is() -> None:
    with filled(batch(log(0, body="a" * 255), log(1, body="b" * 256), offset=0)) as hot:
        days = hot.days(Kind.LOGS)
        assert hot.count(ACME, Kind.LOGS, Term("body", "A" * 255), None, None, days) == 1
        assert hot.count(ACME, Kind.LOGS, Term("body", "b" * 256), None, None, days) == 1
        assert hot.count(ACME, Kind.LOGS, Term("body", "b" * 255), None, None, days) == 0


def test_numbers_of_attributes_and_texts_that_are_numbers_are_in_a_range_as_numbers() -> None:
    numbers = [
        -(2.0**70),
        -1e300,
        -(2**53),
        1 - 2**53,
        -1000,
        -5,
        -4.5,
        -0.0,
        0,
        3,
        20,
        100,
        1e-300,
        2**53 - 1,
        2**53,
        2**64,
        1e300,
    ]
    rows = [log(at, attributes={"n": number}) for at, number in enumerate(numbers)]
    with filled(batch(*rows, log(99, attributes={"n": "7"}), offset=0)) as hot:
        for low, high in itertools.combinations([None, *numbers], 2):
            node = Range("attributes.n", low, high)
            expected = [n for n in (*numbers, 7) if (low is None or n >= low) and (high is None or n <= high)]
            found = hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS))
            assert found == len(expected), node


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_pattern_of_hex_digits_matches_what_is_between(one: int, other: int, value: int) -> None:
    low, high = min(one, other), max(one, other)
    pattern = re.compile(hex_between(low, high))
    for candidate in (value, low, high, max(low - 1, 0), min(high + 1, 2**64 - 1)):
        assert bool(pattern.fullmatch(f"{candidate:016x}")) == (low <= candidate <= high)


integers = st.integers(-(2**53), 2**53) | st.integers(-1200, 1200)


@given(integers, integers, integers)
def test_a_pattern_of_integers_matches_what_is_between_and_nothing_else(one: int, other: int, value: int) -> None:
    low, high = min(one, other), max(one, other)
    pattern, from_low, to_high = (
        re.compile(integers_between(*bounds)) for bounds in ((low, high), (low, None), (None, high))
    )
    for candidate in (value, low, high, low - 1, high + 1, low * 10, high // 10, high * 10**9, -low, 0):
        assert bool(pattern.fullmatch(str(candidate))) == (low <= candidate <= high)
        assert bool(from_low.fullmatch(str(candidate))) == (low <= candidate)
        assert bool(to_high.fullmatch(str(candidate))) == (candidate <= high)
    assert not any(pattern.fullmatch(text) for text in ("", "-", "-0", "00", f"0{value}", f"{value}.0", f"[{value}]"))


def test_a_keyword_that_is_empty_is_found_by_what_it_is_and_by_what_it_is_not() -> None:
    with filled(batch(log(0, service=""), log(1, service="api"), log(2, service="web"), offset=0)) as hot:

        def found(node: Node) -> set[int]:
            hits = hot.search(ACME, RecordQuery(Kind.LOGS, node, None, None, 9), hot.days(Kind.LOGS))
            return {record.position.index for record in hits}

        for empty in (Term("service", ""), Wildcard("service", ""), Range("service", None, "")):
            assert found(empty) == {0}
        assert found(Exists("service")) == found(Range("service", None, None)) == {1, 2}
        assert found(Wildcard("service", "**")) == found(Range("service", "", None)) == {0, 1, 2}
        assert found(Range("service", None, "b")) == {0, 1}
        assert found(Range("service", "", None, include_low=False)) == {1, 2}
        assert found(Range("service", None, "", include_high=False)) == set()
        assert found(Range("service", "", "api", include_low=False)) == {1}


def test_metrics_are_filtered_by_value_and_events_by_name() -> None:
    values = [-1.5, 0.0, 2.0, 1e300]
    with filled(batch(*(metric(at, value) for at, value in enumerate(values)), offset=0, kind=Kind.METRICS)) as hot:

        def count(node: Node) -> int:
            return int(hot.count(ACME, Kind.METRICS, node, None, None, hot.days(Kind.METRICS)))

        assert count(Range("value", -1.5, 2, True, False)) == 2
        assert count(Range("value", 0, None, False)) == 2
        assert count(Term("value", "2")) == count(Term("value", "-1.50")) == 1
        assert count(Range("value", 3, 1)) == count(Range("value", "x", None)) == 0
        assert count(Exists("value")) == count(Range("value", None, None)) == 4
    with filled(batch(event(0, "deploy"), event(1, "restart"), offset=0, kind=Kind.EVENTS)) as hot:
        assert hot.count(ACME, Kind.EVENTS, Wildcard("name", "de*"), None, None, hot.days(Kind.EVENTS)) == 1


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (Term("nothing", "x"), "unknown_field"),
        (Term("value", "1"), "unknown_field"),
        (Wildcard("severity_number", "1*"), "bad_value"),
        (Range("body", "a", "b"), "bad_value"),
        (Term("timestamp", "1"), "bad_value"),
        (Range("timestamp", "a", None), "bad_value"),
        (Wildcard("service", "?" * 3000), "bad_value"),
    ],
)
def test_a_condition_that_a_field_cannot_have_is_refused(node: Node, code: str) -> None:
    with filled(batch(log(), offset=0)) as hot, pytest.raises(QueryError) as caught:
        hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS))
    assert caught.value.code == code


def test_a_tree_that_is_too_deep_is_refused_before_the_engine_sees_it() -> None:
    node: Node = Term("body", "x")
    for _ in range(500):
        node = Not(node)
    with filled(batch(log(), offset=0)) as hot, pytest.raises(QueryError, match="nested"):
        hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS))


def test_any_text_is_a_valid_value_of_any_condition() -> None:
    hostile = ["(", "[", "\\", ")*+?{}|^$.", "a\nb", "\x00", "AND OR", '"', "\U0010ffff", "\ud7ff", "\ue000", "(" * 300]
    rows = [log(at, body=text, attributes={text: text}) for at, text in enumerate(hostile)]
    with filled(batch(*rows, offset=0)) as hot:
        for text in hostile:
            field = f"attributes.{text}"
            for node in (Term(field, text), Range(field, text[:64], None), Exists(field), Wildcard(field, "*")):
                assert hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS)) == 1, (node, text)


def test_a_trace_id_is_found_by_its_value_by_any_and_by_none() -> None:
    with filled(batch(log(0, trace_id="t1"), log(1, trace_id="t2", span_id="s"), log(2, body=""), offset=0)) as hot:

        def count(node: Node) -> int:
            return int(hot.count(ACME, Kind.LOGS, node, None, None, hot.days(Kind.LOGS)))

        assert count(Exists("trace_id")) == count(Range("trace_id", None, None)) == 2
        assert count(Exists("span_id")) == count(Term("trace_id", "")) == count(Term("trace_id", "t2")) == 1
        assert count(Not(Exists("body"))) == 1
