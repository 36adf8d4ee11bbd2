"""Payloads become records with their line numbers; what cannot be read is a reject, and nothing is lost on the way."""

from __future__ import annotations

import json

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Kind, Message, to_headers
from flows.graph import parser
from tests.flows.messages import arrived, balanced, bodies, foreign, header, line, logs, message
from tests.samples.json_texts import JsonText
from tests.samples.sources import JSON, STRINGS
from tests.settings import settings

PARSE = parser(Kind.LOGS, settings())


def test_lines_keep_their_numbers_around_records_that_were_rejected() -> None:
    batch = balanced(PARSE(arrived(message([b"", line("one"), b"", line("three")]))))

    assert [(row.index, row.body) for row in logs(batch)] == [(1, "one"), (3, "three")]
    assert batch.received == 2


@pytest.mark.parametrize("packed", [False, True])
def test_a_partial_repeat_loses_its_first_lines_and_counts_them(packed: bool) -> None:
    sent = message([line("0"), b"", line("2"), line("3")], packed=packed)
    batch = balanced(PARSE(arrived(sent, fresh=(range(3, 6),))))

    assert [row.index for row in batch.rows] == [3]
    assert (batch.received, batch.duplicates) == (3, 2)


def test_a_whole_repeat_is_counted_without_being_opened() -> None:
    sent = Message(b"not even zstd", to_headers(header(count=5, span=6, encoding="zstd")))
    batch = balanced(PARSE(arrived(sent, fresh=())))

    assert (batch.received, batch.duplicates, list(batch.rows)) == (5, 5, [])


def test_what_the_service_took_is_taken_whatever_limit_the_flow_was_given() -> None:
    lines = [line("x" * 1000) for _ in range(2000)]
    sent = message(lines, packed=True)
    tight = parser(Kind.LOGS, settings(ingest_body_mib=1))
    assert len(balanced(tight(arrived(sent))).rows) == 2000


def test_a_message_that_is_one_dead_letter_still_accounts_for_all_of_its_records() -> None:
    sent = Message(b"not even zstd", to_headers(header(count=5, span=6, encoding="zstd")))
    batch = balanced(PARSE(arrived(sent)))
    assert (batch.received, len(batch.rejects), batch.dropped) == (5, 1, {"in_one_dead_letter": 4})


def test_one_bad_line_is_a_reject_with_its_bytes_and_the_others_flow_on() -> None:
    batch = balanced(PARSE(arrived(message([line("a"), b'{"body": "x", "service": 1}', b"not json", line("b")]))))

    assert bodies(batch) == ["a", "b"]
    assert [(r.index, r.payload, r.reason) for r in batch.rejects] == [
        (1, b'{"body": "x", "service": 1}', "invalid_record"),
        (2, b"not json", "invalid_json"),
    ]


def test_a_message_of_another_producer_is_read_as_the_service_would_read_it() -> None:
    lines = [b'{"log":"a","level":50,"user":"u"}', b'{"body":{"k": 1},"tenant":"t"}', b'{"body":"b","message":"c"}']
    batch = balanced(PARSE(arrived(foreign(b"\n".join(lines)))))

    assert bodies(batch) == ["a", '{"k":1}', "b"]
    assert logs(batch)[0].severity_text == "ERROR"
    assert logs(batch)[0].attributes["user"] == "u"
    assert logs(batch)[1].attributes["tenant"] == "t"
    assert logs(batch)[2].attributes["message"] == "c"


def test_an_unknown_field_of_another_producer_is_refused_where_that_is_set() -> None:
    strict = parser(Kind.LOGS, settings(ingest_unknown_fields="refuse"))
    batch = balanced(strict(arrived(foreign(b'{"log":"a"}\n{"body":"b","user":"u"}'))))

    assert bodies(batch) == ["a"]
    assert [(reject.index, reject.reason) for reject in batch.rejects] == [(1, "invalid_record")]


def test_two_records_on_one_line_do_not_shift_the_numbers_of_the_others() -> None:
    batch = balanced(PARSE(arrived(foreign(line("a") + b" " + line("b") + b'\n{"body":\n"c"}'))))

    assert [reject.index for reject in batch.rejects] == [0, 1, 2]


def test_a_message_without_headers_is_a_batch_of_its_own() -> None:
    batch = balanced(PARSE(arrived(foreign(b'{"body": "hello"}\r\n', offset=7))))

    assert bodies(batch) == ["hello"]
    assert (batch.header.tenant, batch.header.producer, batch.header.stream) == ("default", "bus:logs.raw:0", "7")


def test_a_foreign_message_may_be_packed() -> None:
    packed = foreign(zstandard.compress(line("x")), headers={"content-encoding": "zstd"})
    assert bodies(PARSE(arrived(packed))) == ["x"]


@pytest.mark.parametrize(
    "changed",
    [
        {"span": -1, "count": -1},
        {"count": 2, "span": 1},
        {"epoch": 1 << 70},
        {"sequence": -1},
        {"received_ns": 1 << 63},
        {"tenant": "a' OR '1'='1"},
        {"kind": Kind.METRICS},
        {"producer": ""},
        {"producer": "bus:logs.raw:0"},
    ],
)
def test_headers_that_cannot_be_believed_make_the_message_one_dead_letter(changed: dict[str, object]) -> None:
    sent = Message(line("x"), to_headers(header(**changed)), 3)
    batch = balanced(PARSE(arrived(sent)))

    assert [(r.index, r.payload, r.reason) for r in batch.rejects] == [(0, line("x"), "invalid_headers")]
    assert (batch.received, batch.header.tenant) == (1, "default")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tenant":1}', "\ud800", '{"a":' * 5000])
def test_damaged_headers_make_the_message_one_dead_letter(text: str) -> None:
    headers = {"headwater-batch": text, "headwater-version": "1"}
    batch = balanced(PARSE(arrived(Message(b"bytes", headers, 3))))
    assert [reject.reason for reject in batch.rejects] == ["invalid_headers"]


def test_a_later_format_is_set_aside_whole() -> None:
    headers = {**to_headers(header()), "headwater-version": "99"}
    batch = balanced(PARSE(arrived(Message(line("x"), headers, 3))))
    assert "version" in batch.rejects[0].message


def test_a_bomb_is_one_dead_letter() -> None:
    bomb = zstandard.compress(b"\0" * (20 << 20))
    small = parser(Kind.LOGS, settings(ingest_body_mib=1))
    batch = balanced(small(arrived(Message(bomb, to_headers(header(encoding="zstd")), 0))))

    assert [(r.reason, r.payload == bomb) for r in batch.rejects] == [("invalid_encoding", True)]


def test_lines_past_what_the_header_speaks_of_are_rejected() -> None:
    sent = Message(b"\n".join([line("a"), line("b")]), to_headers(header(count=1, span=1)))
    batch = balanced(PARSE(arrived(sent)))
    assert [reject.reason for reject in batch.rejects] == ["beyond_span"]


def test_more_lines_than_can_be_numbered_are_one_dead_letter() -> None:
    batch = balanced(PARSE(arrived(foreign(b"{}\n" * 70_000))))
    assert [reject.reason for reject in batch.rejects] == ["too_many_lines"]


@pytest.mark.parametrize("texts", JSON)
@pytest.mark.parametrize("kind", list(Kind))
def test_json_of_every_damage_is_accounted_for(kind: Kind, texts: list[JsonText]) -> None:
    parse = parser(kind, settings())
    for payload in (text.content for text in texts):
        for wrapped in (payload, b'{"body":"x","attributes":{"a":' + payload.replace(b"\n", b" ") + b"}}"):
            batch = balanced(parse(arrived(foreign(wrapped), kind=kind)))
            msgspec.json.encode([row for row in batch.rows if kind is not Kind.DEAD_LETTERS])


@pytest.mark.parametrize("strings", STRINGS)
def test_naughty_strings_are_kept_as_bodies_values_and_keys(strings: list[str]) -> None:
    for text in strings:
        batch = balanced(PARSE(arrived(message([line(text, attributes={text: text, "n": {text: [text]}})]))))
        (row,) = logs(batch)
        assert row.body == text
        assert row.attributes[text] == text


TEXTS = st.text(max_size=20) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"body": VALUES},
    optional={
        "timestamp": VALUES,
        "observed_timestamp": VALUES,
        "severity_text": VALUES,
        "severity_number": VALUES,
        "attributes": VALUES,
        "trace_id": VALUES,
        "message": VALUES,
        "other": VALUES,
    },
).map(lambda record: json.dumps(record, ensure_ascii=False).encode(errors="surrogatepass"))
LINES = st.lists(RECORDS | st.binary(max_size=30) | st.just(b"") | TEXTS.map(lambda t: line(t)), max_size=6)


@given(LINES, st.booleans(), st.integers(0, 7))
def test_the_equation_holds_for_whatever_stands_on_the_bus(lines: list[bytes], ours: bool, skip: int) -> None:
    clean = [entry.replace(b"\n", b" ") for entry in lines]
    sent = message(clean) if ours else foreign(b"\n".join(clean))
    batch = balanced(PARSE(arrived(sent, fresh=(range(skip, len(lines)),) if ours and skip else None)))

    msgspec.json.encode(list(batch.rows))
    indices = [row.index for row in batch.rows] + [reject.index for reject in batch.rejects]
    assert len(set(indices)) == len(indices)
