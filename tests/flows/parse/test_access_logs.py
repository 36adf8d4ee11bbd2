"""Access logs as real servers and proxies write them -> HTTP fields."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.timestamps import timestamp_ns
from flows.parse import access_keys
from flows.parse.http_request import seconds
from flows.parse.line import AttributeLimits, Finder, LineFacts

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "cases" / "lines" / "access.jsonl").read_text().splitlines()
]
LIMITS = AttributeLimits(attributes=256, depth=16)
NOW_NS = int(dt.datetime(2026, 11, 30, 20, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
HTTP = ("http.", "url.", "client.", "server.", "user_agent.", "user.")


def find(text: str) -> LineFacts:
    return Finder(LIMITS).find(text, NOW_NS)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_line_of_each_server_gives_its_request(case: dict[str, Any]) -> None:
    found = find(case["line"])
    assert {key: value for key, value in found.attributes.items() if key in case["expect"]} == case["expect"]
    if case.get("timestamp"):
        assert found.time_ns is not None
        assert abs(found.time_ns - timestamp_ns(case["timestamp"])) < 1000
    if "severity_text" in case:
        assert (found.severity or (0, ""))[1] == case["severity_text"]
    if not case["expect"]:
        assert not any(key.startswith(HTTP) for key in found.attributes)


def test_all_lines_in_one_batch_give_the_same_as_each_alone() -> None:
    finder = Finder(LIMITS)
    for case in [*CASES, *CASES[::-1]]:
        assert finder.find(case["line"], NOW_NS) == find(case["line"])


@pytest.mark.parametrize(
    ("clients", "first"),
    [("-, 10.0.0.1", "10.0.0.1"), ("unknown, ::1", "::1"), ("2001:db8::7, 10.0.0.1", "2001:db8::7")],
)
def test_the_first_client_of_a_list_that_is_known_is_the_client(clients: str, first: str) -> None:
    found = find(f'{clients} - - [30/Nov/2026:19:40:07 +0000] "GET / HTTP/1.1" 200 1')
    assert found.attributes["client.address"] == first


ACCESS = '10.0.0.1 - - [30/Nov/2026:19:40:07 +0000] "GET /cart?x=1 HTTP/1.1" 502 150 "-" "curl/8.5"'
HAPROXY = (
    "10.0.0.1:33317 [30/Nov/2026:19:40:07.123] fe be/s1 10/0/30/69/109 502 150 - - ---- 1/1/1/1/0 0/0 "
    '"GET /cart?x=1 HTTP/1.1"'
)


@pytest.mark.parametrize(
    "line",
    [
        f"2026-11-30T19:40:07.123456789Z stdout F {ACCESS}",
        f"<190>Nov 30 19:40:07 web nginx: {ACCESS}",
        f"Nov 30 19:40:07 web nginx: shop.example:443 {ACCESS}",
        f"Nov 30 19:40:07 lb haproxy[12]: {HAPROXY}",
        f"INFO:werkzeug:{ACCESS}",
        f"10.0.0.1,10.0.0.2 {ACCESS[9:]}",
        f'"shop.example" "10.0.0.1" {ACCESS[9:]}',
        json.dumps({"log": ACCESS + "\n", "stream": "stdout", "time": "2026-11-30T19:40:07.5Z"}),
    ],
)
def test_a_request_is_read_in_envelopes_of_every_kind(line: str) -> None:
    attributes = find(line).attributes
    assert (attributes["client.address"], attributes["url.path"]) == ("10.0.0.1", "/cart")
    assert (attributes["http.request.method"], attributes["http.response.status_code"]) == ("GET", 502)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3ms", 0.003), ("1.5s", 1.5), ("1m2.5s", 62.5), ("12.5µs", 0.0000125), ("ms", None), ("3", None), ("3x", None)],
)
def test_a_duration_needs_its_unit(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        'db1 app [30/Nov/2026:19:40:07 +0000] cannot open "a" twice',
        '10.0.0.1:77 [30/Nov/2026:19:40:07.123] nothing else "here"',
        "2026-11-30 19:40:07 10.0.0.1 GET lost in words that are no fields of a web server",
    ],
)
def test_text_that_only_begins_like_an_access_log_gives_no_request(line: str) -> None:
    assert find(line).attributes == {}


def test_a_field_that_the_sender_names_himself_stays() -> None:
    found = find('{"method": "GET", "path": "/a", "status": 200, "url.path": "/own", "http.request.method": "PUT"}')
    assert (found.attributes["url.path"], found.attributes["http.request.method"]) == ("/own", "PUT")


def test_a_duration_without_a_known_unit_is_not_taken() -> None:
    assert (
        "http.server.request.duration"
        not in find('{"method": "GET", "url": "/", "status": 200, "duration": 7}').attributes
    )


PIECES = st.sampled_from(
    [case["line"] for case in CASES] + ['"', "\\", "[", "] ", "|", "\t", "/", ",", "-", " ", "²", "\x01"]
)


@given(
    st.lists(PIECES.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])), max_size=4).map(
        "".join
    )
)
def test_cut_and_mixed_lines_are_no_danger(text: str) -> None:
    find(text)


KEYS = st.sampled_from([*sorted(access_keys.MARKS), "status", "size", "duration", "request"])
VALUES = st.text() | st.integers() | st.floats(allow_nan=False) | st.none() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(KEYS, VALUES))
def test_pairs_of_any_kind_are_no_danger_and_stay(pairs: dict[str, Any]) -> None:
    found = access_keys.with_fields(dict(pairs))
    assert {key: found[key] for key in pairs} == pairs
