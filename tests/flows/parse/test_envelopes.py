"""Envelopes: a line around a line, however deep, gives what the inside says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest

from tests.flows.parse.test_formats import cases, find, moment

OUTER = "2026-11-30T19:40:09.000001Z"
INSIDES = {
    "JSON": '{"level":"error","user":7,"time":"2026-11-30T19:40:07.5Z"}',
    "logfmt": "level=error user=7 time=2026-11-30T19:40:07.5Z",
    "JSON with another zone": '{"level":"error","user":7,"time":"2026-12-01T01:10:07.5+05:30"}',
    "damaged JSON": '{"level":"error","user":7,"time":"2026-11-30T19:40:07.5Z","msg":"cut',
    "JSON without a zone, of New York": '{"level":"error","user":7,"time":"2026-11-30 14:40:07.5"}',
}
ENVELOPES: dict[str, Callable[[str], str]] = {
    "CRI": lambda line: f"{OUTER} stderr F {line}",
    "docker": lambda line: json.dumps({"log": f"{line}\n", "stream": "stderr", "time": OUTER}),
    "Fluent Bit": lambda line: json.dumps({"date": 1796067609.0, "log": line, "kubernetes": {"pod_name": "p"}}),
    "journal": lambda line: json.dumps(
        {"PRIORITY": "6", "MESSAGE": line, "__REALTIME_TIMESTAMP": "1796067609000000", "_PID": "1"}
    ),
    "syslog 3164": lambda line: f"<14>Nov 30 19:40:09 host app[7]: {line}",
    "syslog 5424": lambda line: f'<14>1 {OUTER} host app 7 ID [a b="c\\"d"] {line}',
    "syslog 5424 with a mark": lambda line: f"<14>1 {OUTER} host app 7 ID - \ufeff{line}",
    "syslog file": lambda line: f"Nov 30 19:40:09 host app: {line}",
    "rsyslog": lambda line: f"2026-11-30T19:40:09.000001+00:00 host app[7]: {line}",
    "cee": lambda line: f"<14>Nov 30 19:40:09 host app: @cee: {line}" if line[0] == "{" else line,
    "compose": lambda line: f"web-1  | {line}",
    "ISO": lambda line: f"{OUTER} {line}",
    "a level in front": lambda line: f"{OUTER} INFO {line}" if line[0] == "{" else line,
    "klog": lambda line: f"I1130 19:40:09.000001       1 main.go:12] {line}",
    "pod": lambda line: f"[pod/web-1/app] {line}",
    "blanks": lambda line: f" \t{line}",
}


@pytest.mark.parametrize("inside", INSIDES)
@pytest.mark.parametrize("around", ENVELOPES)
def test_what_the_inside_says_wins(around: str, inside: str) -> None:
    found = find(ENVELOPES[around](INSIDES[inside]))
    assert found.severity == (17, "ERROR")
    assert found.attributes["user"] == 7
    if inside == "JSON without a zone, of New York" and found.zone is None:
        assert moment(found) == "2026-11-30T14:40:07.500000Z"  # the envelope names no zone either
    else:
        assert (moment(found), found.zone) == ("2026-11-30T19:40:07.500000Z", "")


@pytest.mark.parametrize(("outer", "inner"), [*itertools.permutations(ENVELOPES, 2)])
def test_envelopes_stand_in_each_other(outer: str, inner: str) -> None:
    found = find(ENVELOPES[outer](ENVELOPES[inner](INSIDES["JSON"])))
    assert found.severity == (17, "ERROR")
    assert found.attributes["user"] == 7
    assert moment(found) == "2026-11-30T19:40:07.500000Z"


@pytest.mark.parametrize("around", [name for name in ENVELOPES if name not in ("compose", "pod", "blanks")])
def test_an_inside_without_a_time_takes_that_of_the_envelope(around: str) -> None:
    found = find(ENVELOPES[around]('{"level":"warn","user":7}'))
    assert found.severity == (13, "WARN")
    assert (moment(found) or "")[:19] == "2026-11-30T19:40:09"


@pytest.mark.parametrize(
    ("inside", "time"),
    [
        ("2026-11-30 14:40:07,500 ERROR x", "2026-11-30T19:40:07.500000Z"),
        ("2026-12-01 01:25:07,500 ERROR x", "2026-11-30T19:40:07.500000Z"),  # Nepal
        ("2026-11-30 14:55:08 CST ERROR x", "2026-11-30T19:40:08.000000Z"),
        ("Nov 30 14:40:07 host app: ERROR x", "2026-11-30T19:40:07.000000Z"),
        ("2026-11-30 14:48:07,500 ERROR x", "2026-11-30T19:40:09.000001Z"),  # no quarter hour fits
        ("2026-11-29 14:40:07,500 ERROR x", "2026-11-30T19:40:09.000001Z"),
    ],
)
def test_an_inner_clock_without_a_zone_is_in_the_zone_that_brings_it_to_the_envelope(inside: str, time: str) -> None:
    found = find(f"{OUTER} stdout F {inside}")
    assert (found.severity or (0, ""))[1] == "ERROR"
    assert (moment(found), found.zone) == (time, "")


def test_structured_data_of_syslog_becomes_attributes() -> None:
    found = find(
        '<165>1 2003-10-11T22:14:15.003Z mymachine ev - ID47 [ex@1 iut="3" t="a \\"b\\" \\] c"][o@2 k="v"] ERROR x'
    )
    assert found.attributes == {
        "host.name": "mymachine",
        "syslog.appname": "ev",
        "syslog.msgid": "ID47",
        "ex@1.iut": "3",
        "ex@1.t": 'a "b" ] c',
        "o@2.k": "v",
    }
    assert found.severity == (17, "ERROR")


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("Nov 30 19:40:07 host app: fine day", ""),
        ("2026-11-30 19:40:07 [main] app: x=1 y=2 {not json}", ""),
        ('{"time":"2026-11-30T19:40:07Z","msg":"debug mode is on"}', ""),
        ('{"time":"2026-11-30T19:40:07Z","message":"ERROR: no"}', "ERROR"),
        ('{"level":"info","message":"{\\"level\\":\\"error\\"}"}', "INFO"),
        ("<13>level=error msg=x", "ERROR"),
    ],
)
def test_words_of_a_text_are_no_level(line: str, level: str) -> None:
    assert (find(line).severity or (0, ""))[1] == level


def test_envelopes_are_opened_to_a_bounded_depth() -> None:
    line = INSIDES["JSON"]
    for _ in range(12):
        line = f"{OUTER} stderr F {line}"
    assert (moment(find(line)) or "")[:19] == "2026-11-30T19:40:09"


def test_escape_sequences_are_no_part_of_level_time_or_attributes() -> None:
    raw = find("\x1b[2m2026-11-30T19:40:07Z\x1b[0m \x1b[31mERROR\x1b[0m boom")
    spelt = find('{"level":"\\u001b[31merror\\u001b[0m","time":"2026-11-30T19:40:07Z","msg":"a \\u001b[1mb\\u001b[0m"}')
    quoted = find(
        ENVELOPES["docker"]('{"level":"\\u001b[31merror\\u001b[0m","time":"2026-11-30T19:40:07Z","msg":"a b"}')
    )
    logfmt = find("level=\x1b[31merror\x1b[0m time=2026-11-30T19:40:07Z msg=x")
    syslog = find("Nov 30 19:40:07 host app: #033[31mERROR#033[0m boom")
    for found in (raw, spelt, quoted, logfmt, syslog):
        assert found.severity == (17, "ERROR")
        assert moment(found) == "2026-11-30T19:40:07.000000Z"
    assert spelt.attributes == {"msg": "a b"}


@pytest.mark.parametrize(
    "line",
    [
        '{"level":"info","method":"GET","url":"/","status":200,"time":12.5}',
        "level=info method=GET path=/ status=200 time=0.035",
        'level=info msg="tick" ts=42 seq=3',
        '{"level":"info","event":"play","timestamp":93,"msg":"position"}',
        '{"level":"info","timestamp":20261130,"msg":"a day as a number"}',
        '{"level":"info","time":"12.5","msg":"x"}',
        '{"level":"info","date":"2026-11-30","msg":"a day"}',
        '{"level":"info","t":4111111111,"msg":"after this century"}',
    ],
)
def test_a_number_that_is_no_time_stays_an_attribute(line: str) -> None:
    found = find(line)
    assert found.time_ns is None
    assert {"time", "ts", "timestamp", "date", "t"} & found.attributes.keys()


def test_after_a_key_that_is_no_time_the_next_is_asked() -> None:
    found = find('{"time":35,"timestamp":"2026-11-30T19:40:07Z","level":"error","msg":"x"}')
    assert moment(found) == "2026-11-30T19:40:07.000000Z"
    assert found.attributes == {"time": 35, "msg": "x"}


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        ('@cee: {"level":"error","k":1}', {"k": 1}),
        ('19:40:07 web.1   | {"level":"error"}', {"container.name": "web.1"}),
        ('[pod/web-1/app] {"level":"error"}', {"k8s.pod.name": "web-1", "k8s.container.name": "app"}),
        ('E1130 19:40:07.123456       1 main.go:12] "Starting up" key="a b" n=2', {"key": "a b", "n": 2}),
        ('2026/11/30 19:40:07 main.go:12: {"level":"error","k":1}', {"k": 1}),
        ('2026-11-30T19:40:07Z ERROR my.logger {"k":1}', {"k": 1}),
        ('ERROR: {"k":1}', {"k": 1}),
        ("2026-11-30 19:40:07 something failed: ERROR x", {}),
    ],
)
def test_heads_in_front_of_a_text_are_told_from_words(line: str, attributes: dict[str, object]) -> None:
    found = find(line)
    assert found.severity == (17, "ERROR")
    assert found.attributes == attributes


def test_a_day_and_a_time_in_two_keys_are_one_time() -> None:
    found = find('{"Date":"2026-11-30","Time":"19:40:07","level":"info"}')
    assert (moment(found), found.attributes) == ("2026-11-30T19:40:07.000000Z", {})


def test_trace_ids_are_found_under_any_usual_key_beside_level_and_time() -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    for ids in (
        {"TRACE_ID": trace, "SPAN_ID": span},
        {"traceparent": f"00-{trace}-{span}-01"},
        {"dd": {"trace_id": trace, "span_id": span}},
        {"logging.googleapis.com/trace": f"projects/p/traces/{trace}", "logging.googleapis.com/spanId": span},
    ):
        found = find(json.dumps({"level": "info", "time": "2026-11-30T19:40:07Z", **ids}))
        assert (found.trace_id, found.span_id, found.attributes) == (trace, span, {})


def test_a_line_of_blanks_behind_a_time_is_a_line() -> None:
    assert moment(find("2026-11-30T19:40:07.000000Z" + " " * 500)) == "2026-11-30T19:40:07.000000Z"


@pytest.mark.parametrize(
    "around", ["CRI", "docker", "Fluent Bit", "journal", "syslog 5424", "rsyslog", "compose", "pod", "blanks"]
)
@pytest.mark.parametrize("kind", ["loggers", "formats-right", "text", "access"])
def test_a_line_of_any_form_reads_within_an_envelope_as_it_does_alone(kind: str, around: str) -> None:
    for parameters in cases(kind):
        (case,) = parameters.values
        alone, within = find(case["line"]), find(ENVELOPES[around](case["line"]))
        assert alone.severity is None or within.severity == alone.severity, case
        assert alone.time_ns is None or alone.zone != "" or within.time_ns == alone.time_ns, case
        assert alone.attributes.keys() <= within.attributes.keys(), case


def test_a_line_behind_nanoseconds_in_front_is_a_line_of_any_form() -> None:
    found = find("2026-11-30T19:40:07.123456789Z 1:M 30 Nov 2026 19:40:06.500 # Server started")
    assert (found.severity, moment(found)) == ((13, "WARN"), "2026-11-30T19:40:06.500000Z")
