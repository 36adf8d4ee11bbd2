"""What a line says of itself: time, level and attributes, over the formats of real systems."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.parse.line import AttributeLimits, Finder, LineFacts
from tests.flows.messages import ARRIVAL_NS
from tests.samples.lines import ACCESS, SYSTEMS, lines
from tests.samples.sources import DATA, extra

LIMITS = AttributeLimits(attributes=256, depth=16)


def find(text: str, arrival_ns: int = ARRIVAL_NS) -> LineFacts:
    return Finder(LIMITS).find(text, arrival_ns)


def moment(found: LineFacts) -> str:
    assert found.time_ns is not None
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=found.time_ns // 1000)).isoformat()  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "time", "level"),
    [
        ("2015-07-29 17:41:44,747 - INFO  [main] - up", "2015-07-29T17:41:44.747000", "INFO"),
        ("2026-01-01T00:00:00.5+02:00 ERROR no", "2025-12-31T22:00:00.500000", "ERROR"),
        ("2026-01-01T00:00:00.123456789Z warn: low", "2026-01-01T00:00:00.123456", "WARN"),
        ("2026-01-01 00:00:00 +0100 [debug] x", "2025-12-31T23:00:00", "DEBUG"),
        ("2026/01/01 00:00:00 [error] 7#7: x", "2026-01-01T00:00:00", "ERROR"),
        ("1971-06-01 00:00:00 INFO old", "1971-06-01T00:00:00", "INFO"),
        ("17/06/09 20:10:40 INFO executor.Executor: run", "2017-06-09T20:10:40", "INFO"),
        ("081109 203615 148 INFO dfs.DataNode: x", "2008-11-09T20:36:15", "INFO"),
        ("03-17 16:13:38.811  1702  2395 D WindowManager: x", "2025-03-17T16:13:38.811000", "DEBUG"),
        ("[Sun Dec 04 04:47:44 2005] [notice] init ok", "2005-12-04T04:47:44", "INFO"),
        ("[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 1] x", "2005-12-04T04:47:44.123456", "ERROR"),
        ("[2026-01-01 00:00:00] prod.ERROR: x", "2026-01-01T00:00:00", "ERROR"),
        ("Jun 14 15:16:01 combo sshd[1]: error: no", "2025-06-14T15:16:01", "ERROR"),
        ("Jun  4 15:16:01 combo sshd[1]: fine day", "2025-06-04T15:16:01", ""),
        ("<34>Oct 11 22:14:15 host su: failed", "2025-10-11T22:14:15", "ERROR"),
        ("<165>1 2003-10-11T22:14:15.003Z host app", "2003-10-11T22:14:15.003000", "INFO"),
        ("nova-api.log 2017-05-16 00:00:00.008 25746 INFO nova", "2017-05-16T00:00:00.008000", "INFO"),
        ("ERROR 2026-01-01 00:00:00 x", "2026-01-01T00:00:00", "ERROR"),
        ("E0102 15:04:05.678901   1 main.go:7] x", "2025-01-02T15:04:05.678901", "ERROR"),
        ("1767225600 WARN x", "2026-01-01T00:00:00", "WARN"),
        ("1767225600.25 WARN x", "2026-01-01T00:00:00.250000", "WARN"),
        ("1767225600123 WARN x", "2026-01-01T00:00:00.123000", "WARN"),
        ('10.0.0.1 - bob [17/May/2015:10:05:03 +0200] "GET / HTTP/1.1" 200 5', "2015-05-17T08:05:03", ""),
    ],
)
def test_time_and_level_stand_at_the_start_of_a_line(text: str, time: str, level: str) -> None:
    found = find(text)
    assert moment(found) == time
    assert (found.severity or (0, ""))[1] == level


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "12",
        "2026-13-01 00:00:00 x",
        "2026-01-01 25:00:00 x",
        "99/99/99 99:99:99 x",
        "999999 999999 1 INFO",
        "[]",
        "<>",
        "<999>x",
        "Jun 31 15:16:01 x",
        "{not json}",
        "[1, 2]",
        "3.14 is no epoch",
        "²²²²-²²-²² ²²:²²:²²",
    ],
)
def test_what_is_no_time_is_not_taken_for_one(text: str) -> None:
    assert find(text).time_ns is None


@pytest.mark.parametrize(
    ("arrival", "text", "year"),
    [
        ("2026-01-01T00:00:30", "Dec 31 23:59:59 x", 2025),
        ("2025-12-31T23:59:50", "Jan  1 00:00:10 x", 2026),
        ("2026-06-01T00:00:00", "Jun  3 00:00:00 x", 2025),
        ("2026-06-01T00:00:00", "Feb 29 12:00:00 x", 2024),
        ("2024-03-01T00:00:00", "Feb 29 12:00:00 x", 2024),
    ],
)
def test_a_time_without_year_gets_the_one_before_arrival_plus_a_day(arrival: str, text: str, year: int) -> None:
    arrival_ns = int(dt.datetime.fromisoformat(arrival + "+00:00").timestamp()) * 1_000_000_000
    assert moment(find(text, arrival_ns)).startswith(str(year))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ERROR cannot open", "ERROR"),
        ("warning: unused variable", "WARN"),
        ("[error] no", "ERROR"),
        ("INFO:root:started", "INFO"),
        ("Error: no such file", "ERROR"),
        ("an error of the user", ""),
        ("we saw Errors today", ""),
        ("the INFO desk", "INFO"),
        ("one two three four five six ERROR", ""),
        ("CRITICAL: on fire", "FATAL"),
        ("ERRONEOUS input", ""),
    ],
)
def test_a_level_is_told_from_a_word(text: str, level: str) -> None:
    assert (find(text).severity or (0, ""))[1] == level


def test_a_json_line_gives_attributes_level_time_and_trace() -> None:
    found = find(
        '{"ts": "2026-01-01T00:00:00Z", "level": "warning", "msg": "hi", "a": {"b": [1, 2], "c": [{"d": 1}]},'
        ' "n": null, "traceId": "0AF7651916CD43DD8448EB211C80319C", "span_id": "b7ad6b7169203331", "ok": true}'
    )
    assert moment(found) == "2026-01-01T00:00:00"
    assert found.severity == (13, "WARN")
    assert found.attributes == {"msg": "hi", "a.b": [1, 2], "a.c": '[{"d":1}]', "ok": True}
    assert (found.trace_id, found.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def test_what_cannot_be_lifted_stays_an_attribute() -> None:
    found = find('{"time": "soon", "level": "loud", "trace_id": "xyz", "timestamp": true}')
    assert (found.time_ns, found.severity, found.trace_id) == (None, None, "")
    assert found.attributes == {"time": "soon", "level": "loud", "trace_id": "xyz", "timestamp": True}


@pytest.mark.parametrize(("level", "number"), [(30, 9), (50, 17), (3, 17), (7, 5), ('"E"', 17), ('"warn2"', 14)])
def test_levels_may_be_numbers_or_letters(level: object, number: int) -> None:
    severity = find(f'{{"level": {level}}}').severity
    assert severity is not None
    assert severity[0] == number


def test_a_json_line_with_too_many_attributes_keeps_the_first() -> None:
    many = "{" + ",".join(f'"k{number}": {number}' for number in range(5000)) + "}"
    assert list(find(many).attributes) == [f"k{number}" for number in range(256)]


@pytest.mark.parametrize("depth", [3, 100, 100_000])
def test_deep_json_is_no_danger(depth: int) -> None:
    find('{"a":' * depth + "1" + "}" * depth)
    find('{"a":' + "[" * depth + "]" * depth + "}")


def test_logfmt_gives_pairs_with_quotes_and_numbers() -> None:
    found = find('ts=2026-01-01T00:00:00Z level=error msg="a \\"b\\" c=d" n=12 x=1.5 v=1.10 z=007 empty= flag')
    assert moment(found) == "2026-01-01T00:00:00"
    assert found.severity == (17, "ERROR")
    assert found.attributes == {
        "msg": 'a "b" c=d', "n": 12, "x": 1.5, "v": "1.10", "z": "007", "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["12-7", "0x1F", "007", "0.50", "1e5", "12.5kB", "٣", "1" * 19])
def test_a_number_of_logfmt_that_would_be_written_otherwise_stays_text(text: str) -> None:
    assert find(f"level=info count={text} ok=1").attributes["count"] == text


def test_times_are_read_right_after_more_seconds_than_are_remembered() -> None:
    finder = Finder(LIMITS)
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001
    for second in range(9000):
        at = start + dt.timedelta(seconds=second)
        assert moment(finder.find(f"{at:%Y-%m-%d %H:%M:%S} INFO x", ARRIVAL_NS)) == at.isoformat()


@pytest.mark.parametrize(
    "text", ["a=b", "x = y", 'k="open', "user=u said hello to all of us here", "=a =b", 'a=1 "b"=2', "a=1 b=2 \x01\\"]
)
def test_what_only_looks_like_logfmt_is_left_alone(text: str) -> None:
    assert find(text).attributes in ({}, {"a": 1, "b": 2})


def test_an_access_log_line_gives_http_fields() -> None:
    found = find('10.0.0.1 - bob [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 404 203 "-" "Mozilla/5.0 (X11)"')
    assert found.attributes == {
        "client.address": "10.0.0.1",
        "user.name": "bob",
        "http.request.method": "GET",
        "url.path": "/a",
        "url.query": "b=c",
        "http.response.status_code": 404,
        "http.response.body.size": 203,
        "user_agent.original": "Mozilla/5.0 (X11)",
    }


def test_an_access_log_line_with_a_broken_request_keeps_the_rest() -> None:
    found = find('::1 - - [17/May/2015:10:05:03 +0000] "\\x16\\x03" 400 -')
    assert found.attributes == {"client.address": "::1", "http.response.status_code": 400}


FORMS = (
    "2026-01-01 00:00:00 ERROR x",
    "17/06/09 20:10:40 INFO x",
    "081109 203615 148 WARN x",
    "03-17 16:13:38.811  1702  2395 D x",
    '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
    "1767225600 WARN x",
    "Jun 14 15:16:01 combo x: error: y",
    "ts=2026-01-01T00:00:00Z level=error",
    "E0102 15:04:05.678901 x",
    "nova.log 2017-05-16 00:00:00.008 25746 INFO x",
    '{"level": "info"}',
    "{no json}",
    "[Sun Dec 04 04:47:44 2005] [notice] x",
    "<34>Oct 11 22:14:15 x",
    "ERROR x",
)


@given(st.lists(st.sampled_from(FORMS) | st.text(max_size=60), max_size=12))
def test_no_line_is_too_strange_and_a_remembered_form_changes_no_answer(lines: list[str]) -> None:
    finder = Finder(LIMITS)
    for text in lines:
        remembered, fresh = finder.find(text, ARRIVAL_NS), find(text)
        assert remembered == fresh


LEVELS = {
    "Android": {"DEBUG": 650, "TRACE": 257, "INFO": 920, "WARN": 170, "ERROR": 3},
    "Apache": {"INFO": 1405, "ERROR": 595},
    "HDFS": {"INFO": 1920, "WARN": 80},
    "Linux": {"": 1955, "ERROR": 43, "WARN": 2},
    "OpenSSH": {"": 1952, "ERROR": 47, "FATAL": 1},
    "OpenStack": {"INFO": 1969, "WARN": 31},
    "Spark": {"INFO": 2000},
    "Zookeeper": {"INFO": 669, "WARN": 1318, "ERROR": 13},
}


@pytest.mark.parametrize("system", [*SYSTEMS, ACCESS])
def test_every_line_as_programs_write_them_has_its_time_and_level(system: str) -> None:
    finder = Finder(LIMITS)
    for line in lines(system):
        found = finder.find(line.text, ARRIVAL_NS)
        assert (found.time_ns is not None, (found.severity or (0, ""))[1]) == (True, line.level), line.text
        assert system != ACCESS or "http.response.status_code" in found.attributes


@extra
@pytest.mark.parametrize("system", LEVELS)
def test_every_line_of_eight_real_systems_has_its_time_and_level(system: str) -> None:
    finder = Finder(LIMITS)
    text = (DATA / "loghub" / system / f"{system}_2k.log").read_text(errors="replace")
    found = [finder.find(line, ARRIVAL_NS) for line in text.splitlines()]

    assert all(entry.time_ns is not None for entry in found)
    assert Counter((entry.severity or (0, ""))[1] for entry in found) == LEVELS[system]


@extra
def test_every_line_of_a_real_access_log_has_time_and_status() -> None:
    finder = Finder(LIMITS)
    text = (DATA / "access_log" / "apache_logs").read_text(errors="replace")
    found = [finder.find(line, ARRIVAL_NS) for line in text.splitlines()]

    assert all(entry.time_ns is not None and "http.response.status_code" in entry.attributes for entry in found)
