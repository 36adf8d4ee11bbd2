"""Records with the field names of other programs get known fields, and lose no value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.messages import Kind
from contracts.records import SentEvent, SentLog
from contracts.stray_fields import Rewritten, StrayFields, UnknownField, objects

LOGS, EVENTS = StrayFields(Kind.LOGS, True), StrayFields(Kind.EVENTS, True)


def rewritten(text: str, fields: StrayFields = LOGS) -> dict[str, Any]:
    found = fields.rewrite(text.encode())
    assert isinstance(found, Rewritten)
    msgspec.json.decode(found.line, type=SentEvent if fields is EVENTS else SentLog)
    record: dict[str, Any] = msgspec.json.decode(found.line)
    return record


@pytest.mark.parametrize("name", ["log", "msg", "MESSAGE", "Message", "@m", "@mt"])
def test_an_alias_of_the_body_fills_in_for_it(name: str) -> None:
    assert rewritten(f'{{"{name}":"x"}}') == {"body": "x"}


@pytest.mark.parametrize(
    "value",
    [
        '"2026-11-30T19:40:07Z"',
        '"2026-11-30 19:40:07,123"',
        "1764531607",
        "1764531607.25",
        "1764531607123",
        '"1764531607123456789"',
    ],
)
@pytest.mark.parametrize("name", ["@timestamp", "date", "time", "ts", "Timestamp", "@t", "__REALTIME_TIMESTAMP"])
def test_an_alias_of_the_timestamp_that_is_a_time_fills_in_for_it(name: str, value: str) -> None:
    assert rewritten(f'{{"body":"x","{name}":{value}}}') == {"body": "x", "timestamp": msgspec.json.decode(value)}


@pytest.mark.parametrize(
    "value", ["12.5", "0", "-1764531607", "176453160", '"12"', '"soon"', '"2026-11-30"', '{"$date":1}', "true", '"\\""']
)
@pytest.mark.parametrize("name", ["@timestamp", "date", "time", "ts"])
def test_an_alias_of_the_timestamp_that_is_no_time_stays_an_attribute(name: str, value: str) -> None:
    record = rewritten(f'{{"body":"x","{name}":{value}}}')
    assert record == {"body": "x", "attributes": {name: msgspec.json.decode(value)}}


def test_the_next_alias_is_tried_when_one_is_no_time() -> None:
    record = rewritten('{"msg":"x","time":0.25,"ts":1764531607.5}')
    assert record == {"body": "x", "timestamp": 1764531607.5, "attributes": {"time": 0.25}}


def test_the_canonical_name_wins_then_the_attribute_then_the_unknown_field() -> None:
    record = rewritten(
        '{"msg":"m","body":"b","message":"n","user":"u","ts":1764531607,"timestamp":"2026-01-01T00:00:00Z",'
        '"severity":"WARN","severity_text":"ERROR","level":"INFO","attributes":{"user":"own"}}'
    )
    assert record == {
        "body": "b",
        "timestamp": "2026-01-01T00:00:00Z",
        "severity_text": "ERROR",
        "attributes": {
            "message": "n",
            "msg": "m",
            "user": "own",
            "ts": 1764531607,
            "severity": "WARN",
            "level": "INFO",
        },
    }


def test_the_name_of_an_object_is_the_host_and_the_object_an_attribute() -> None:
    record = rewritten('{"message":"x","host":{"name":"h1","ip":["10.0.0.1"]},"service":{"id":1}}')
    objects_sent = {"host": {"name": "h1", "ip": ["10.0.0.1"]}, "service": {"id": 1}}
    assert record == {"body": "x", "host": "h1", "attributes": objects_sent}


def test_a_record_with_a_time_but_no_body_has_its_json_text_as_body() -> None:
    record = rewritten('{"date":1764531607.5,"method":"GET","code":200}')
    assert record == {
        "body": '{"date":1764531607.5,"method":"GET","code":200}',
        "timestamp": 1764531607.5,
        "attributes": {"method": "GET", "code": 200},
    }


@pytest.mark.parametrize("text", ['{"user":"u"}', '{"ts":1764531607}', '{"timestamp":1764531607,"service":"s"}', "{}"])
def test_a_record_without_a_body_stays_without_one_where_nothing_is_told(text: str) -> None:
    found = LOGS.rewrite(text.encode())
    assert found is None or (isinstance(found, Rewritten) and "body" not in msgspec.json.decode(found.line))


def test_a_value_of_null_says_nothing() -> None:
    assert rewritten('{"body":null,"msg":"x","user":null,"timestamp":null,"ts":1764531607}') == {
        "body": "x",
        "timestamp": 1764531607,
    }


def test_the_tenant_is_an_attribute_like_any_other() -> None:
    assert rewritten('{"body":"x","tenant":"other"}') == {"body": "x", "attributes": {"tenant": "other"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [('{"a": [1, 2.50]}', '{"a":[1,2.50]}'), ("[ ]", "[]"), ("5.0", "5.0"), ("false", "false")],
)
def test_a_body_that_is_no_text_becomes_its_json_text(value: str, text: str) -> None:
    assert rewritten(f'{{"body":{value}}}') == rewritten(f'{{"log":{value}}}') == {"body": text}


def test_a_text_is_the_body_before_an_object_of_another_alias() -> None:
    record = rewritten('{"log":{"file":"a.log"},"msg":"x"}')
    assert record == {"body": "x", "attributes": {"log": {"file": "a.log"}}}


@pytest.mark.parametrize("name", ["level", "severity", "severity_text", "Level"])
def test_a_level_may_be_a_number(name: str) -> None:
    record = rewritten(f'{{"body":"x","{name}":30}}')
    assert record == {"body": "x", "level" if name == "level" else "severity_text": "30"}


@pytest.mark.parametrize(
    ("value", "field", "taken"),
    [
        ("17", "severity_number", 17),
        ('"9"', "severity_number", 9),
        ("24.0", "severity_number", 24),
        ("400", "severity_text", "WARNING"),
        ('"100"', "severity_text", "DEBUG"),
        ("3", "severity_text", "3"),
        ("7", "severity_text", "7"),
    ],
)
def test_the_number_of_a_severity_is_one_of_opentelemetry_google_cloud_or_syslog(
    value: str, field: str, taken: int | str
) -> None:
    assert rewritten(f'{{"body":"x","severity":{value}}}') == {"body": "x", field: taken}


def test_a_severity_in_numbers_is_an_attribute_beside_a_severity_number() -> None:
    record = rewritten('{"body":"x","severity_number":13,"level":"warn","severity":17}')
    assert (record["severity_number"], record["level"], record["attributes"]) == (13, "warn", {"severity": 17})


def test_a_whole_number_with_a_fraction_of_zero_is_the_level_of_that_number() -> None:
    assert rewritten('{"body":"x","level":50.0}') == {"body": "x", "level": "50"}


def test_level_and_ids_are_found_in_objects_as_ecs_nests_them() -> None:
    ids = {"trace": {"id": "0af7651916cd43dd8448eb211c80319c"}, "span": {"id": "b7ad6b7169203331"}}
    log = {"level": "error", "logger": "app"}
    record = rewritten(msgspec.json.encode({"message": "x", "log": log, **ids, "a": 1}).decode())
    assert (record["body"], record["severity_text"]) == ("x", "error")
    assert (record["trace_id"], record["span_id"]) == (ids["trace"]["id"], ids["span"]["id"])
    assert record["attributes"] == {"log": log, **ids, "a": 1}


@pytest.mark.parametrize("value", ["{}", '{"level":{}}', '{"level":null}', '{"level":""}', "[]", "5"])
def test_an_object_log_without_a_level_is_an_attribute(value: str) -> None:
    assert "severity_text" not in rewritten(f'{{"message":"x","log":{value},"a":1}}')


@pytest.mark.parametrize("name", ["@l", "log.level", "levelname", "LogLevel", "SEVERITY"])
def test_an_alias_of_the_level_fills_in_for_it(name: str) -> None:
    assert rewritten(f'{{"body":"x","{name}":"error"}}') == {"body": "x", "severity_text": "error"}


def test_a_priority_is_a_level_only_if_it_is_one_of_syslog() -> None:
    assert rewritten('{"MESSAGE":"x","PRIORITY":"3"}') == {"body": "x", "severity_text": "3"}
    assert rewritten('{"msg":"x","priority":"high"}') == {"body": "x", "attributes": {"priority": "high"}}


def test_the_next_alias_of_the_level_is_tried_when_one_is_no_level() -> None:
    record = rewritten('{"msg":"x","severity":{"code":1},"@l":"Error"}')
    assert record == {"body": "x", "severity_text": "Error", "attributes": {"severity": {"code": 1}}}


@pytest.mark.parametrize(("trace", "span"), [("traceId", "spanId"), ("trace.id", "span.id"), ("@tr", "@sp")])
def test_ids_of_traces_are_known_by_their_shape(trace: str, span: str) -> None:
    record = rewritten(f'{{"msg":"x","{trace}":"{"a1" * 16}","{span}":"{"B2" * 8}"}}')
    assert record == {"body": "x", "trace_id": "a1" * 16, "span_id": "B2" * 8}
    assert rewritten(f'{{"msg":"x","{trace}":"n/a"}}') == {"body": "x", "attributes": {trace: "n/a"}}


def test_an_id_of_zeros_is_no_trace() -> None:
    zeros = {"traceId": "0" * 32, "trace": {"id": "0" * 32}, "spanId": "0" * 16}
    assert rewritten(msgspec.json.encode({"body": "x", **zeros}).decode()) == {"body": "x", "attributes": zeros}


@pytest.mark.parametrize("value", ["{}", "true", '""', '"' + "x" * 257 + '"'])
def test_a_severity_that_is_no_level_stays_an_attribute(value: str) -> None:
    record = rewritten(f'{{"body":"x","severity":{value}}}')
    assert record["attributes"] == {"severity": msgspec.json.decode(value)}


def test_an_event_takes_the_same_names_and_keeps_levels_as_attributes() -> None:
    record = rewritten('{"name":"n","message":"x","time":1764531607,"level":"info","user":1}', EVENTS)
    assert record == {"name": "n", "body": "x", "timestamp": 1764531607, "attributes": {"level": "info", "user": 1}}


def test_numbers_keep_their_digits() -> None:
    found = LOGS.rewrite(b'{"body":"x","n":18446744073709551616.000,"e":1e5}')
    assert isinstance(found, Rewritten)
    assert found.line == b'{"body":"x","attributes":{"n":18446744073709551616.000,"e":1e5}}'


def test_each_change_has_its_reason() -> None:
    found = LOGS.rewrite(b'{"msg":5,"a":1,"b":2,"attributes":{"a":0}}')
    assert isinstance(found, Rewritten)
    assert sorted(found.changes) == ["alias", "name_taken", "unknown_field", "value_as_text"]


def test_a_record_of_known_fields_needs_no_change() -> None:
    assert LOGS.rewrite(b'{"message":"x","level":"INFO","attributes":{"a":1}}') is None


def test_unknown_fields_are_refused_where_that_is_set_and_aliases_are_not() -> None:
    strict = StrayFields(Kind.LOGS, False)
    assert rewritten('{"msg":"x","severity":"WARN"}', strict) == {"body": "x", "severity_text": "WARN"}
    assert strict.rewrite(b'{"msg":"x","time":"soon"}') == UnknownField("time")
    assert strict.rewrite(b'{"body":"x","user":null}') == UnknownField("user")


def test_objects_on_one_line_are_taken_apart() -> None:
    assert objects(b'{"a":"}{"} {"b":{}}{"c":1}', 10) == [b'{"a":"}{"}', b'{"b":{}}', b'{"c":1}']
    assert objects(b'{"a":1}{"b":', 10) == [b'{"a":1}', b'{"b":']
    assert objects(b"{}" * 1000, 5)[:5] == [b"{}"] * 5
    assert len(objects(b"{}" * 1000, 5)) == 6


@pytest.mark.parametrize("line", [b'{"a":{"b":1}{"c":2}}', b'"a"{"b":1}', b'{"a":"}{"}', b"{" * 5000, b"", b'{"a":1'])
def test_a_line_that_does_not_hold_several_objects_is_left_alone(line: bytes) -> None:
    assert objects(line, 10) == [line]
