"""The sender's word, the line's word, the arrival: who wins, and what is kept and flagged."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.records import LogRow, MetricRow, SentMetric
from flows.graph import parser
from flows.parse.metrics import MetricRows
from tests.flows.messages import ARRIVAL_NS, SECOND_NS, arrived, balanced, header, line, logs, message
from tests.settings import settings

PARSE = parser(Kind.LOGS, settings())
FLAG, ORIGINAL = "headwater.timestamp.flag", "headwater.timestamp.original"


def row(body: str = "x", **fields: Any) -> LogRow:
    (found,) = logs(PARSE(arrived(message([line(body, **fields)]))))
    return found


def test_the_sender_wins_over_the_text() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    text = f'{{"time": "2020-01-01T00:00:00Z", "level": "error", "a": 1, "b": 2, "trace_id": "{trace}"}}'
    found = row(text, timestamp=1_600_000_000, severity_text="info", attributes={"a": 9}, trace_id="AB")

    assert found.body == text
    assert found.timestamp_ns == 1_600_000_000 * SECOND_NS
    assert (found.severity_number, found.severity_text) == (9, "INFO")
    assert found.attributes == {"a": 9, "b": 2}
    assert found.trace_id == "ab"


def test_without_a_time_it_is_when_the_sender_read_it_and_then_the_arrival() -> None:
    assert row("2020-01-01 00:00:00 x", observed_timestamp=1_600_000_000).timestamp_ns == 1_577_836_800 * SECOND_NS
    assert row("x", observed_timestamp=1_600_000_000).timestamp_ns == 1_600_000_000 * SECOND_NS
    assert row("x").timestamp_ns == ARRIVAL_NS


def test_times_are_cut_to_whole_microseconds() -> None:
    assert row(timestamp=1_600_000_000_123_456_789).timestamp_ns == 1_600_000_000_123_456_000
    assert row("2020-01-01T00:00:00.123456789Z x").timestamp_ns % SECOND_NS == 123_456_000


@pytest.mark.parametrize(
    ("timestamp", "flag", "kept"),
    [
        ("2036-01-01T00:00:00Z", "future", True),
        ("0001-01-01T00:00:00Z", "out_of_range", False),
        ("1969-12-31T23:59:59Z", "out_of_range", False),
        ("9999-12-31T00:00:00Z", "out_of_range", False),
        (-5, "out_of_range", False),
        ("whenever", "invalid", False),
    ],
)
def test_odd_times_are_kept_and_flagged(timestamp: str | int, flag: str, kept: bool) -> None:
    found = row(timestamp=timestamp)

    assert found.attributes[FLAG] == flag
    assert (found.timestamp_ns == ARRIVAL_NS) is not kept
    assert found.attributes.get(ORIGINAL) == (None if kept else str(timestamp))


def test_an_odd_time_in_the_text_is_flagged_too() -> None:
    assert row("2036-01-01 00:00:00 x").attributes == {FLAG: "future"}
    assert row("1950-01-01 00:00:00 x").attributes[FLAG] == "out_of_range"


def test_the_limit_of_the_future_is_a_setting() -> None:
    strict = parser(Kind.LOGS, settings(future_limit_s=1))
    (found,) = logs(strict(arrived(message([line("x", timestamp=ARRIVAL_NS // SECOND_NS + 2)]))))
    assert found.attributes == {FLAG: "future"}


@pytest.mark.parametrize(
    ("fields", "number", "text"),
    [
        ({"level": "warning"}, 13, "WARN"),
        ({"severity_text": "E"}, 17, "ERROR"),
        ({"severity_text": "Loud"}, 0, "Loud"),
        ({"severity_number": 18}, 18, "ERROR"),
        ({"severity_number": 18, "severity_text": "Loud"}, 18, "Loud"),
        ({"severity_text": "", "level": "info"}, 9, "INFO"),
        ({"level": "3"}, 17, "ERROR"),
        ({"level": "012"}, 0, "012"),
        ({}, 0, ""),
    ],
)
def test_severity_has_a_number_and_a_text(fields: dict[str, Any], number: int, text: str) -> None:
    found = row(**fields)
    assert (found.severity_number, found.severity_text) == (number, text)


def test_attributes_are_flat() -> None:
    found = row(attributes={"a": {"b": {"c": 1}}, "l": [1, "x"], "o": [{"p": 1}], "n": None, "e": {}})
    assert found.attributes == {"a.b.c": 1, "l": [1, "x"], "o": '[{"p":1}]'}


def test_message_stands_for_body_and_one_of_them_must_be_there() -> None:
    batch = balanced(PARSE(arrived(message([b'{"message": "m"}', b'{"service": "s"}', b'{"body": ""}']))))

    assert [found.body for found in logs(batch)] == ["m", ""]
    assert [(reject.index, reject.reason) for reject in batch.rejects] == [(1, "missing_body")]


def test_more_attributes_than_allowed_are_a_dead_letter_with_everything_in_it() -> None:
    batch = balanced(PARSE(arrived(message([line("x", attributes={str(n): n for n in range(300)})]))))
    (reject,) = batch.rejects
    assert reject.reason == "too_many_attributes"
    assert b'"299":299' in reject.payload


def test_a_parser_that_fails_on_one_record_loses_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.parse.logs.named", lambda name: (9, "INFO") if name != "bad" else 1 // 0)
    batch = balanced(PARSE(arrived(message([line("a", level="x"), line("b", level="bad"), line("c")]))))

    assert [found.body for found in logs(batch)] == ["a", "c"]
    assert [(reject.index, reject.reason, reject.stage) for reject in batch.rejects] == [(1, "unusable", "parse")]


def test_a_time_long_before_its_arrival_is_kept_and_flagged_but_not_on_a_point_of_a_series() -> None:
    assert row("x", timestamp="1999-01-01T00:00:00Z").attributes == {FLAG: "past"}
    assert row("1999-01-01 00:00:00 x").attributes == {FLAG: "past"}
    narrow = parser(Kind.LOGS, settings(past_limit_days=1))
    (found,) = logs(narrow(arrived(message([line("x", timestamp=ARRIVAL_NS // SECOND_NS - 100_000)]))))
    assert found.attributes == {FLAG: "past"}
    points = MetricRows(settings())(header(kind=Kind.METRICS), [0], [SentMetric("n", 1.0, timestamp=915_148_800)])[0]
    assert [point.attributes for point in points if isinstance(point, MetricRow)] == [{}]


@pytest.mark.parametrize(
    "values", [{"timezone": "Mars/Phobos"}, {"timezones": "shop=Mars/Phobos"}, {"timezones": "UTC"}]
)
def test_a_zone_of_the_settings_that_is_not_known_ends_the_start(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="HEADWATER_TIMEZONE"):
        parser(Kind.LOGS, settings(**values))
