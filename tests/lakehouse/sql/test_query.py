"""The query tree as SQL: the same answers as the brute-force reference, and no way out of a literal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, Exists, Node, Not, Or, Range, RecordQuery, Term, Wildcard
from contracts.tenants import Tenant
from lakehouse.lake.store import Lake
from lakehouse.match import matcher
from lakehouse.read.records import COLUMNS, matching_page
from lakehouse.sql.query import records_sql, where_sql
from tests.lakehouse.lake_samples import ACME, NOON_NS, OTHER, batch, log
from tests.lakehouse.reference import page, stored
from tests.samples.sources import STRINGS
from tests.settings import settings

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # shrinking would take minutes
WORDS = [
    "error",
    "Error",
    "ERR",
    "time-out",
    "straße",
    "STRASSE",
    "İx",
    "naïve",
    "Ñandú",
    "κόσμος",
    "ΚΌΣΜΟΣ",
    "42",
    "a",
    "b",
]
WORDS += ["日本語", "x_y", "K", "k", "ſ", "s", "don't", "10.0.0.1", "a,b", '"k":"v"', "\\", "\n", "%", "ab", "abc", ""]
VALUES = [
    *WORDS,
    1,
    1.0,
    1.5,
    -3,
    2**60,
    True,
    False,
    None,
    1e300,
    "1",
    "1.5",
    "true",
    ',"k":1',
    "a\tb",
    "\u0001",
    ["a", 1],
]
KEYS = ["k", "a.b", 'q"', "k:", ",", "é", ""]

bodies = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
attributes = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
rows = st.lists(
    st.builds(
        log,
        body=bodies,
        attributes=attributes,
        service=st.sampled_from(["api", "web", "", "a*b"]),
        severity_number=st.integers(0, 24),
        at_ns=st.integers(-3, 3).map(lambda step: NOON_NS + step * 1000),
    ),
    min_size=1,
    max_size=12,
)
keywords = st.sampled_from(["service", "trace_id"]) | st.sampled_from(KEYS).map("attributes.{}".format)
fields = keywords | st.sampled_from(["body", "severity_number"])
texts = st.sampled_from([str(value) for value in VALUES if value is not None] + ["time out", '["a",1]', "null"])
patterns = st.lists(st.sampled_from(["*", "?", "\\*", "\\", *WORDS]), min_size=1, max_size=3).map("".join)
numbers = st.integers(-5, 50) | st.sampled_from([1.5, 1.0, 1e300])
times = st.none() | st.integers(NOON_NS - 4000, NOON_NS + 4000)
bounds = st.none() | texts | numbers
leaves = st.one_of(
    st.just(All()),
    st.builds(Term, fields, texts),
    st.builds(Wildcard, keywords | st.just("body"), patterns),
    st.builds(Range, keywords, bounds, bounds, st.booleans(), st.booleans()),
    st.builds(Range, st.just("severity_number"), st.none() | numbers, st.none() | numbers, st.booleans()),
    st.builds(Range, st.just("timestamp"), times, times, st.booleans(), st.booleans()),
    st.builds(Exists, fields | st.just("timestamp")),
)


def _inner(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    some = st.lists(nodes, max_size=3).map(tuple)
    return st.builds(And, some) | st.builds(Or, some) | st.builds(Not, nodes)


trees: st.SearchStrategy[Node] = st.recursive(leaves, _inner, max_leaves=6)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(str(tmp_path / "lake"), settings())
    yield opened
    opened.close()


def ask(lake: Lake, query: RecordQuery, tenant: Tenant = ACME) -> list[int]:
    snapshot, columns = lake.snapshot(query.kind), COLUMNS[query.kind]
    found = matching_page(query, 60, lambda asked: snapshot.query(records_sql(tenant, asked, [], columns)))
    return [record.position.index for record in found]


def every(where: Node) -> RecordQuery:
    return RecordQuery(Kind.LOGS, where, None, None, 10_000)


@given(st.data())
@hypothesis_settings(
    max_examples=6, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_lake_answers_like_the_reference(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")), settings())
    lines = data.draw(rows)
    for index, line in enumerate(lines):
        line.index = index
    item = batch(*lines, offset=0)
    writer = lake.writer(Kind.LOGS)
    writer.append([item])
    writer.commit()
    everything = stored([item])

    for where in data.draw(st.lists(trees, min_size=20, max_size=20)):
        newest_first = data.draw(st.booleans())
        query = RecordQuery(Kind.LOGS, where, NOON_NS - 2000, NOON_NS + 2500, 8, None, newest_first)
        expected = [row.position.index for row in page(everything, ACME, query)]
        assert ask(lake, query) == expected, where
    lake.close()


@pytest.mark.parametrize("name", ["a' OR '1'='1", "a'; DROP TABLE logs; --", "acme\\", "acme\x00", "*", "%"])
def test_a_tenant_by_another_name_sees_nothing(lake: Lake, name: str) -> None:
    writer = lake.writer(Kind.LOGS)
    writer.append([batch(log(), offset=0), batch(log(), offset=1, tenant=OTHER)])
    writer.commit()

    assert ask(lake, every(All()), Tenant(name)) == []
    assert lake.ledger(Tenant(name)) == []


@pytest.mark.parametrize(
    "where",
    [
        Term("service", "\ud800"),
        Term("nope", "x"),
        Term("name", "x"),
        Term("timestamp", "1"),
        Wildcard("severity_number", "1*"),
        Range("body", "a", "b"),
        Range("timestamp", "a", None),
    ],
)
def test_what_has_no_answer_is_refused(where: Node) -> None:
    with pytest.raises(QueryError):
        where_sql(Not(where), Kind.LOGS)


@pytest.mark.parametrize("strings", STRINGS)
def test_naughty_strings_find_exactly_themselves(lake: Lake, strings: list[str]) -> None:
    lines = sorted({line[:250] for line in strings if line})
    item = batch(*(log(n, line, service=line, attributes={"k": line}) for n, line in enumerate(lines)), offset=0)
    writer = lake.writer(Kind.LOGS)
    writer.append([item])
    writer.commit()

    for index, line in enumerate(lines):
        where = And((Term("service", line), Term("attributes.k", line)))
        assert ask(lake, every(where)) == [index], line


NUMBERED: list[dict[str, object]] = [
    {"ms": 7},
    {"a": 1, "ms": 7.0, "z": 9},
    {"ms": "7"},
    {"a": "7,", "ms": "7e0", "z": "7}"},
    {"ms": "7,5"},
    {"ms": "7}"},
    {"ms": '7"'},
    {"ms": "+7"},
    {"ms": "inf"},
    {"ms": True},
    {"ms": {}},
    {"ms": ""},
    {'a"ms': 7},
    {"a,ms": 7},
    {"a": '"ms":7', "ms": 8},
    {"a": ',"ms":7'},
    {'x,"ms': 7, "ms": 8},
    {"": 7},
    {"ms": [8, 7]},
    {"ms": -0.0},
    {"ms": 2**64},
]
RANGES = [Range("attributes.ms", 7, 7), Range("attributes.ms", 7, None), Range("attributes.ms", None, 7, True, False)]


@pytest.mark.parametrize("where", [Term("attributes.ms", "7"), Term("attributes.ms", "0"), *RANGES])
@pytest.mark.parametrize("is_not", [False, True])
def test_a_number_is_read_from_its_own_key_alone(lake: Lake, where: Node, is_not: bool) -> None:
    rows = [log(n, attributes=attributes) for n, attributes in enumerate(NUMBERED)]
    writer = lake.writer(Kind.LOGS)
    writer.append([batch(*rows, offset=0)])
    writer.commit()
    asked, matches = Not(where) if is_not else where, matcher(Not(where) if is_not else where, Kind.LOGS)

    assert sorted(ask(lake, every(asked))) == [n for n, row in enumerate(rows) if matches(row, None)]
