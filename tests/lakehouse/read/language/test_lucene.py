"""The Lucene subset: what each form means, where each mistake is shown, and that nothing else can happen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, Exists, Node, Not, Or, Range, Term, Wildcard
from contracts.settings import Settings, load_settings
from lakehouse.read.language.lucene import parse
from tests.query_api.writing import NODES, lucene
from tests.samples.sources import STRINGS

SETTINGS = load_settings()
LONG = load_settings(query_chars=100_000)
NOW = 1_700_000_000 * 10**9
HOUR = 3600 * 10**9

A, B, C = Term("body", "a"), Term("body", "b"), Term("body", "c")


def read(text: str, kind: Kind = Kind.LOGS, limits: Settings = SETTINGS) -> Node:
    return parse(text, kind, NOW, limits)


def fault(text: str, kind: Kind = Kind.LOGS) -> int:
    """Where the text is wrong, or 0."""
    try:
        read(text, kind)
    except QueryError as error:
        return -1 if error.position is None else error.position
    return 0


def severity(low: float | None, high: float | None) -> Range:
    return Range("severity_number", low, high)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", All()),
        ("  \t\n", All()),
        ("*", All()),
        ("*:*", All()),
        ("a", A),
        ('"a b"', Term("body", "a b")),
        (r'"say \"hi\" \\"', Term("body", r'say "hi" \ '.rstrip())),
        ("a b", And((A, B))),
        ("a AND b && c", And((A, B, C))),
        ("a OR b || c", Or((A, B, C))),
        ("a b OR c", Or((And((A, B)), C))),
        ("a OR b c", Or((A, And((B, C))))),
        ("NOT a", Not(A)),
        ("-a", Not(A)),
        ("!a", Not(A)),
        ("!!a", Not(Not(A))),
        ("!-a", Not(Not(A))),
        ("!(a b)", Not(And((A, B)))),
        ("+a -b", And((A, Not(B)))),
        ("hello!", Term("body", "hello!")),
        ("a-b", Term("body", "a-b")),
        ("(a OR b) c", And((Or((A, B)), C))),
        ("TO", Term("body", "TO")),
        ("and", Term("body", "and")),
        (r"\AND", Term("body", "AND")),
        ("message:a", A),
        ("body:*", Exists("body")),
        ("service:checkout", Term("service", "checkout")),
        ("service : checkout", Term("service", "checkout")),
        ("service:(a OR -b)", Or((Term("service", "a"), Not(Term("service", "b"))))),
        ("service:(a OR host:b)", Or((Term("service", "a"), Term("host", "b")))),
        ("service:NOT a", Not(Term("service", "a"))),
        ("user.id:7", Term("attributes.user.id", "7")),
        ("attr.x:y", Term("attributes.x", "y")),
        ("attributes.service:y", Term("attributes.service", "y")),
        ("attributes.id:y", Term("attributes.id", "y")),
        (r"a\:b:c\:d", Term("attributes.a:b", "c:d")),
        ("temperature:-5", Term("attributes.temperature", "-5")),
        ("service:a*b?", Wildcard("service", "a*b?")),
        (r"service:a\*b*", Wildcard("service", r"a\*b*")),
        (r"service:a\*", Term("service", "a*")),
        (r'service:"a*"', Term("service", "a*")),
        ("time*", Wildcard("body", "time*")),
        ("service:*", Exists("service")),
        ("service:**", Exists("service")),
        ("_exists_:trace_id", Exists("trace_id")),
        ("_exists_:user.id", Exists("attributes.user.id")),
        ("_exists_:timestamp", All()),
        ("status:[500 TO 599]", Range("attributes.status", 500, 599)),
        ("status:{500 TO 599]", Range("attributes.status", 500, 599, False, True)),
        ("status:[500 TO *}", Range("attributes.status", 500, None, True, False)),
        ("status:[-5 TO -1.5}", Range("attributes.status", -5, -1.5, True, False)),
        ("status:>=500", Range("attributes.status", 500, None)),
        ("status:>-5", Range("attributes.status", -5, None, False)),
        ("status:<500", Range("attributes.status", None, 500, True, False)),
        ("status:<=5e2", Range("attributes.status", None, 500.0)),
        ('status:>="500"', Range("attributes.status", "500", None)),
        ("status:[5 TO b]", Range("attributes.status", "5", "b")),
        ("status:>1e999", Range("attributes.status", "1e999", None, False)),
        ("host:[a TO 5]", Range("host", "a", "5")),
        ("status:[* TO *]", Exists("attributes.status")),
    ],
)
def test_a_text_means(text: str, node: Node) -> None:
    assert read(text) == node


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("level:error", severity(17, 20)),
        ("level:Warning", severity(13, 16)),
        ("severity:17", severity(17, 17)),
        ("level:>=warn", severity(13, None)),
        ("level:>warn", severity(17, None)),
        ("level:<warn", severity(1, 12)),
        ("level:<=info", severity(1, 12)),
        ("level:[info TO error]", severity(9, 20)),
        ("level:{info TO error}", severity(13, 16)),
        ("level:*", severity(1, 24)),
        ("_exists_:level", severity(1, 24)),
        ("severity_number:>16", Range("severity_number", 16, None, False)),
        ("severity_text:WARN", Term("severity_text", "WARN")),
        ("level:(error OR fatal)", Or((severity(17, 20), severity(21, 24)))),
    ],
)
def test_levels_are_bands_of_severity_numbers(text: str, node: Node) -> None:
    assert read(text) == node


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("timestamp:[now-1h TO now]", NOW - HOUR, NOW),
        ("timestamp:[1700000000 TO 1700000000123}", NOW, NOW + 123_000_000),
        ("@timestamp:>=2023-11-14T22:13:20Z", NOW, None),
        ("timestamp:2023-11-14T22:13:20.5Z", NOW + 500_000_000, NOW + 500_000_000),
        ('timestamp:>="2023-11-15T00:13:20+02:00"', NOW, None),
    ],
)
def test_timestamps_are_read_as_times(text: str, low: int | None, high: int | None) -> None:
    assert read(text) == Range("timestamp", low, high, True, not text.endswith("}"))


def test_names_are_fields_of_their_kind() -> None:
    assert read("name:deploy level:x", Kind.EVENTS) == And((Term("name", "deploy"), Term("attributes.level", "x")))
    assert read("value:>1.5", Kind.METRICS) == Range("value", 1.5, None, False)
    assert read("value:7", Kind.METRICS) == Range("value", 7, 7)
    assert read("body:x", Kind.METRICS) == Term("attributes.body", "x")
    assert read("tenant:other") == Term("attributes.tenant", "other")


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("a AND", "syntax", 5),
        ("AND a", "syntax", 0),
        ("a OR OR b", "syntax", 5),
        ("a || && b", "syntax", 5),
        ("!", "syntax", 1),
        ("a (b c", "syntax", 2),
        ("a b) c", "syntax", 3),
        ("a ()", "syntax", 3),
        ('a "b', "syntax", 2),
        ("a:b:c", "syntax", 3),
        ("service:", "syntax", 8),
        ("service: AND a", "syntax", 9),
        (":a", "syntax", 0),
        ("x:[a b TO c]", "syntax", 5),
        ("x:[a TO", "syntax", 7),
        ("x:[a]", "syntax", 4),
        ("x:a]", "syntax", 3),
        ("[a TO b]", "syntax", 0),
        ("a >5", "syntax", 2),
        ("x:[a* TO b]", "syntax", 3),
        ("x:[- 5 TO b]", "syntax", 3),
        ("a 'b c'", "syntax", 2),
        ("a b\\", "syntax", 3),
        ("a b\ud800", "syntax", 3),
        ("_exists_:(a b)", "syntax", 9),
        ("a b~2", "unsupported", 3),
        ('"a b"~2', "unsupported", 5),
        ("a b^3", "unsupported", 3),
        ("a /b+/", "unsupported", 2),
        ("path:/api/v1", "unsupported", 5),
        ("a level:errr", "bad_value", 8),
        ("level:er*", "bad_value", 6),
        ("a conn-re*", "bad_value", 2),
        ("a body:[b TO c]", "bad_value", 8),
        ("a timestamp:>soon", "bad_time", 13),
        ("a id:x", "bad_field", 2),
        ("a observed_timestamp:x", "bad_field", 2),
        ("a *:x", "bad_field", 2),
        ("a attributes.:x", "bad_field", 2),
    ],
)
def test_a_mistake_is_shown_at_its_character(text: str, code: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        read(text)
    assert (caught.value.code, caught.value.position) == (code, position)


@pytest.mark.parametrize(("text", "code"), [("a", "bad_field"), ("value:x", "bad_value"), ("value:1*", "bad_value")])
def test_metrics_have_no_text_and_their_value_is_a_number(text: str, code: str) -> None:
    with pytest.raises(QueryError) as caught:
        read(text, Kind.METRICS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("a" * 2049, "too_long", 2048),
        ("(" * 33 + "a" + ")" * 33, "too_deep", 32),
        ("(" * 2000, "too_deep", 32),
        ("!" * 2000 + "a", "too_deep", 33),
        ("-" * 2000 + "a", "too_deep", 33),
        ("NOT " * 500 + "a", "too_deep", 132),
        ("x:+" * 600 + "a", "too_deep", 99),
        ("a " * 257, "too_many_clauses", 512),
        ("x:(" + "a OR " * 256 + "b)", "too_many_clauses", 1283),
    ],
)
def test_limits_hold_before_anything_recurses(text: str, code: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        read(text)
    assert (caught.value.code, caught.value.position) == (code, position)


def test_what_stands_at_a_limit_is_read() -> None:
    assert read("(" * 32 + "a" + ")" * 32) == A
    assert read("a " * 256) == And((A,) * 256)
    assert read("a" * 2048) == Term("body", "a" * 2048)


@given(NODES)
@settings(max_examples=300, deadline=None)
def test_a_node_written_as_lucene_reads_back_as_itself(node: Node) -> None:
    assert read(lucene(node), limits=LONG) == node


SYNTAX = st.lists(
    st.sampled_from([*" ()[]{}:\"\\/*?~^+-!<>=&|'\n", "&&", "||", "AND", "OR", "NOT", "TO", "a", "level", "5", "now"]),
    max_size=30,
).map("".join)


@given(st.one_of(st.text(), SYNTAX), st.sampled_from([Kind.LOGS, Kind.EVENTS, Kind.METRICS]))
@settings(max_examples=1500, deadline=None)
@example("\x00", Kind.LOGS)
@example("x:[* TO *]", Kind.METRICS)
def test_any_text_reads_as_a_node_or_as_a_query_error(text: str, kind: Kind) -> None:
    assert 0 <= fault(text, kind) <= len(text)


@pytest.mark.parametrize("strings", STRINGS)
def test_naughty_strings_read_as_nodes_or_as_query_errors(strings: list[str]) -> None:
    for text in strings:
        assert 0 <= fault(text) <= len(text)


def test_threads_do_not_disturb_each_other() -> None:
    texts = [f"service:s{n} (level:>=warn OR x:[{n} TO *]) -y{n}" for n in range(64)]
    alone = [read(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, texts * 4)) == alone * 4
