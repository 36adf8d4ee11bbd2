"""Validation: the fast path, the slow path and the published Pydantic models say the same."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.messages import Kind
from contracts.settings import load_settings
from contracts.timestamps import timestamp_ns
from ingestion_api.models import MODELS, refusal
from ingestion_api.verdicts import Judge

SETTINGS = load_settings(_env_file=None)
JUDGES = {kind: Judge(kind, SETTINGS) for kind in MODELS}
NAMES = {field.alias or name for model in MODELS.values() for name, field in model.model_fields.items()}
FIELDS = sorted(NAMES | {"tenant", "", "Message", "Level"})

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
times = st.sampled_from(["2024-05-01T12:00:00Z", "2024-02-31", "", "1e9", "17", "2024-05-01 12:00:00.123456789+01:00"])
odd = st.sampled_from(["x" * 256, "x" * 257, "x" * 64, "x" * 65, "é" * 256, "\U0001f600" * 256, "\U0001f600" * 257])
kinds = st.sampled_from(["gauge", "sum", "gauge\n", "Gauge", "gaugesum", " sum"])
numbers = st.integers(-5, 30) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(1 << 64)
scalars = st.none() | st.booleans() | numbers | texts | times | odd | kinds
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
likely: dict[Kind, st.SearchStrategy[dict[str, Any]]] = {
    Kind.LOGS: st.fixed_dictionaries({"body": texts}),
    Kind.METRICS: st.fixed_dictionaries({"name": texts | odd, "value": numbers}),
    Kind.EVENTS: st.fixed_dictionaries({"name": texts | odd}),
}


@st.composite
def records(draw: st.DrawFn) -> tuple[Kind, Any]:
    kind = draw(st.sampled_from(sorted(MODELS)))
    record: Any = {**draw(likely[kind]), **draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=3))}
    return kind, draw(st.just(record) | st.dictionaries(st.sampled_from(FIELDS), values, max_size=5) | values)


def agree(kind: Kind, record: Any) -> None:
    verdict = JUDGES[kind].verdict(json.dumps(record).encode())

    assert (verdict is None) == (refusal(kind, record) is None), (record, verdict, refusal(kind, record))


# Every field with every value that stands at an edge. Drawn at random, a fault of one pair is hardly ever met: of five
# faults that were put in, 600 drawn records found two; these find them all.
ONES: dict[Kind, dict[str, Any]] = {
    Kind.LOGS: {"body": "x"},
    Kind.METRICS: {"name": "x", "value": 1},
    Kind.EVENTS: {"name": "x"},
}
EDGES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3.0,
    9.5,
    24,
    25,
    1e300,
    1 << 63,
    1 << 64,
    -(1 << 70),
    [],
    [1],
    {},
    {"a": [{}]},
]
EDGES += [
    "",
    " ",
    "x",
    "gauge",
    "gauge\n",
    "Gauge",
    "sum",
    "info",
    "1",
    "1e9",
    "17",
    "2024-05-01T12:00:00Z",
    "2024-02-31",
]
EDGES += ["x" * length for length in (16, 32, 64, 65, 128, 129, 255, 256, 257, 1024, 1025)]
EDGES += ["a" * 32, "A" * 16, "0" * 32, "é" * 256, "\U0001f600" * 256, "\U0001f600" * 257, "nul \0", "\u202e"]
POOL: list[tuple[Kind, Any]] = [
    (kind, {**record, field: edge}) for kind, record in ONES.items() for field in FIELDS for edge in EDGES
]
POOL += [(kind, edge) for kind in ONES for edge in EDGES]


def test_pydantic_and_the_decoder_accept_the_same_of_each_field_and_edge() -> None:
    for kind, record in POOL:
        agree(kind, record)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records())
def test_pydantic_and_the_decoder_accept_the_same(case: tuple[Kind, Any]) -> None:
    agree(*case)


def test_a_batch_of_edges_is_judged_as_its_records_are() -> None:
    chance = random.Random(11)
    for _ in range(1000):
        kind = chance.choice(list(ONES))
        judged_alike(chance.choices(POOL, k=chance.randrange(1, 7)), kind)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records(), min_size=1, max_size=4), st.sampled_from(sorted(MODELS)))
def test_a_batch_is_judged_as_its_records_are(cases: list[tuple[Kind, Any]], kind: Kind) -> None:
    judged_alike(cases, kind)


def judged_alike(cases: list[tuple[Kind, Any]], kind: Kind) -> None:
    judge = JUDGES[kind]
    lines = [json.dumps(record).encode() for _, record in cases]

    judged = judge.judge(list(lines))

    good = [judge.verdict(line) is None for line in lines]
    assert [bool(line) for line in judged.lines] == good
    for line, kept in zip(lines, judged.lines, strict=True):
        alone = judge.judge([line])
        assert alone.lines == [kept]
        assert not kept or judge.all_good([kept])  # what is forwarded needs no second change
        assert kept == line or alone.changed
    assert judged.accepted == sum(good)
    assert [entry.index for entry in judged.rejected] == [index for index, kept in enumerate(good) if not kept]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | texts.map(str.encode), st.sampled_from(sorted(MODELS)))
def test_no_bytes_break_the_judge(line: bytes, kind: Kind) -> None:
    judged = JUDGES[kind].judge([line, b'{"body":"x","name":"x"}'])

    assert judged.accepted + len(judged.rejected) + (not line.strip(b" \t\r")) == 2
    for rejection in judged.rejected:
        rejection.message.encode()


def nested(levels: int) -> bytes:
    return b'{"body":"x","attributes":' + b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1) + b"}"


@pytest.mark.parametrize("limit", [2, 5, 16, 256])
def test_the_depth_limit_is_exact(limit: int) -> None:
    judge = Judge(Kind.LOGS, load_settings(_env_file=None, ingest_depth=limit))

    assert judge.judge([nested(limit)]).accepted == 1
    assert judge.judge([nested(limit + 1)]).rejected[0].code == "too_deep"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.text('[]{},:"\\', max_size=4), max_size=12))
def test_the_attribute_limit_is_exact_whatever_the_text_looks_like(items: list[int], odd_texts: list[str]) -> None:
    judge = Judge(Kind.LOGS, load_settings(_env_file=None, ingest_attributes=10))
    record = {
        "body": "".join(odd_texts),
        "attributes": {"list": items, **{f"k{n}": t for n, t in enumerate(odd_texts)}},
    }
    count = 1 + len(items) + len(odd_texts)

    assert judge.judge([json.dumps(record).encode()]).accepted == (count <= 10)


def test_every_accepted_time_can_be_read_by_the_flow() -> None:
    judge = JUDGES[Kind.LOGS]
    for value in (
        "2024-W01-1",
        "20240501",
        "2024-05-01T120000Z",
        "2024-05-01",
        1e300,
        1 << 70,
        "24-05-01",
        "2024-W01-1T00:00",
    ):
        accepted = judge.judge([json.dumps({"body": "x", "timestamp": value}).encode()]).accepted
        try:
            timestamp_ns(value)
            readable = 1
        except ValueError:
            readable = 0
        assert accepted == readable, value
