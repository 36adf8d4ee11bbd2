"""What other shippers send is accepted whole: each record once, with body, time, level and attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.messages import Kind, Message, to_headers
from contracts.records import LogRow
from contracts.settings import load_settings
from contracts.timestamps import timestamp_ns
from flows.graph import parser
from ingestion_api.candidates import Limits
from ingestion_api.fluent import unpack
from tests.flows.messages import arrived, logs
from tests.ingestion_api.conftest import Service
from tests.samples import fluent

MSGPACK, NDJSON = "application/msgpack", "application/x-ndjson"
OTLP = Path(__file__).resolve().parents[3] / "shared/data/otlp/logs.json"
LIMITS = Limits(10_000, 16 << 20)
SECOND_NS = 1_000_000_000


def records(service: Service, content: bytes, media: str, rejected: int = 0, path: str = "/logs") -> list[Any]:
    """What stands on the bus after one request, decoded; None for a rejected record."""
    service.read()
    service.read(Kind.EVENTS)
    response = service.post(content, media=media, path=path)
    assert response.status_code == 202, response.text
    assert len(response.json()["rejected"]) == rejected, response.text
    (message,) = service.read(Kind(path[1:]))
    assert message.header.span == len(message.lines) == response.json()["accepted"] + rejected
    return [json.loads(line) if line else None for line in message.lines]


def rows(service: Service, content: bytes, media: str) -> list[LogRow]:
    """The same as rows of the flow."""
    service.read()
    assert service.post(content, media=media).status_code == 202
    (message,) = service.read()
    header = msgspec.structs.replace(message.header, encoding="identity")
    parse = parser(Kind.LOGS, load_settings(_env_file=None))
    return logs(parse(arrived(Message(message.payload, to_headers(header), 0, header.received_ns))))


@pytest.mark.parametrize("form", fluent.bodies())
def test_fluent_bit_is_read_alike_in_each_of_its_formats(service: Service, form: str) -> None:
    media, content = fluent.bodies()[form]
    first, second, third = records(service, content, media)

    for record in (first, second, third):
        assert timestamp_ns(record["timestamp"]) == fluent.SECOND * SECOND_NS + 123_456_000
    assert first["body"] == "2026-11-30 WARN slow\n"
    assert first["attributes"] == {"stream": "stdout", "kubernetes": fluent.RECORDS[0]["kubernetes"]}
    assert (second["body"], second["level"], second["host"]) == ("paid", "error", "h1")
    assert json.loads(third["body"]).items() >= fluent.RECORDS[2].items()
    assert third["attributes"] == fluent.RECORDS[2]


def test_the_flow_reads_records_of_fluent_bit(service: Service) -> None:
    found = rows(service, fluent.msgpack(fluent.entries()), MSGPACK)

    assert [row.severity_text for row in found][:2] == ["WARN", "ERROR"]
    assert {row.timestamp_ns for row in found} == {fluent.SECOND * SECOND_NS + 123_456_000}
    assert found[0].attributes["kubernetes.labels.app"] == "web"


@pytest.mark.parametrize(
    "values",
    [
        [[[fluent.event_time(), {"log": "a"}], [fluent.event_time(), {"log": "b"}]]],
        [[{"log": "a"}, {"log": "b"}]],
        [{"log": "a"}, {"log": "b"}],
        [[1764531607, {"log": "a"}], [1764531607.5, {b"log": b"b"}]],
        [[[fluent.event_time(), {}], {"log": "a"}], [[fluent.event_time(), {"x": 1}], {"log": "b"}]],
        [[[fluent.event_time(-1), {}], {"group": 1}], {"log": "a"}, {"log": "b"}, [[fluent.event_time(-2), {}], {}]],
    ],
)
def test_entries_of_other_senders_of_msgpack_are_read(service: Service, values: list[Any]) -> None:
    assert [record["body"] for record in records(service, fluent.msgpack(values), MSGPACK)] == ["a", "b"]


def test_an_entry_that_cannot_be_read_is_named_and_its_neighbours_are_kept(service: Service) -> None:
    bad = [[fluent.event_time(), 5], {"log": "x", "deep": nested(40)}, {"log": "x" * (1 << 20)}]
    values = [fluent.msgpack([good]) for good in ({"log": "a"}, *bad, {"log": "b"})]
    content = b"".join([*values, b"\x81\xa3log\xa2\xff\xfe", fluent.msgpack([{"log": "c"}]), b"\x81\xa3log"])
    service.read()
    answer = service.post(content, media=MSGPACK).json()

    codes = [(entry["index"], entry["code"]) for entry in answer["rejected"]]
    expected = ["not_an_object", "too_deep", "record_too_large"]
    assert codes == [*enumerate(expected, 1), (5, "invalid_utf8"), (7, "invalid_msgpack")]
    assert [json.loads(line)["body"] for line in service.read()[0].lines if line] == ["a", "b", "c"]


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels else 1


HOSTILE = {
    "a list that claims 4 billion items": b"\xdd\xff\xff\xff\xff",
    "a map that claims 4 billion keys": b"\xdf\xff\xff\xff\xff",
    "a text that claims 4 GiB": b"\xdb\xff\xff\xff\xffx",
    "a nest of lists": b"\x91" * 1_000_000,
    "a nest of maps": b"\x81\xa1a" * 300_000,
    "no msgpack": b"\xc1" * 1000,
    "a key that is a list": b"\x81\x91\x01\x01",
    "JSON": b'{"body":"x"}',
    "nothing but numbers": b"\x01" * 9000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_msgpack_is_refused_with_a_reason(service: Service, name: str) -> None:
    service.read()
    response = service.post(HOSTILE[name], media=MSGPACK)

    assert response.status_code in (400, 413), response.text
    assert response.json()["code"] in ("no_usable_record", "too_many_records")
    assert service.read() == []


@pytest.mark.parametrize("values", [[{}] * 10_001, [[{}] * 10_001], [[0] * 200_000]])
def test_more_records_than_are_allowed_in_msgpack_are_413(service: Service, values: list[Any]) -> None:
    assert service.post(fluent.msgpack(values), media=MSGPACK).json()["code"] == "too_many_records"


def test_marks_of_groups_without_end_are_413(service: Service) -> None:
    mark = fluent.msgpack([[[fluent.event_time(-1), {}], {}]])
    assert service.post(mark * 40_000, media=MSGPACK).json()["code"] == "too_many_records"


def test_an_empty_msgpack_body_has_no_records(service: Service) -> None:
    assert service.post(b"", media=MSGPACK).json()["code"] == "no_records"


def test_a_body_that_grows_past_the_limit_as_json_is_413(service: Service) -> None:
    large = [{"log": "\x01" * 160_000} for _ in range(40)]  # each character is six in JSON
    assert service.post(fluent.msgpack(large), media=MSGPACK).json()["code"] == "body_too_large"


def test_repeats_of_msgpack_with_a_key_are_known(service: Service) -> None:
    content = fluent.msgpack(fluent.entries())
    answers = [service.post(content, media=MSGPACK, Idempotency_Key="fluent-1").json() for _ in range(2)]
    assert [answer["duplicate"] for answer in answers] == [False, True]


@pytest.mark.parametrize(
    "value", [b"\xd6\x05abcd", b"\xc0", b"\xc4\x03raw", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xd6\xff\0\0\0\1"]
)
def test_values_that_json_does_not_have_are_kept_in_some_form(value: bytes) -> None:
    (line,) = unpack(b"\x81\xa1a" + value, LIMITS, 1 << 20).items
    assert json.loads(line).keys() == {"a"}


VECTOR = [
    {
        "file": "/var/log/app.log",
        "host": "web-1",
        "message": "2026-11-30T19:40:07Z ERROR it broke",
        "source_type": "file",
        "timestamp": "2026-11-30T19:40:07.123456789Z",
    },
    {
        "host": "web-1",
        "message": "b",
        "source_type": "demo_logs",
        "service": "vector",
        "timestamp": "2026-11-30T19:40:08Z",
    },
]


@pytest.mark.parametrize("form", ["array", "newline"])
def test_vector_is_accepted_in_both_of_its_framings(service: Service, form: str) -> None:
    texts = [json.dumps(record, separators=(",", ":")) for record in VECTOR]
    content = f"[{','.join(texts)}]" if form == "array" else "\n".join(texts)
    first, second = rows(service, content.encode(), "application/json" if form == "array" else NDJSON)

    assert (first.body, first.host, first.severity_text) == (VECTOR[0]["message"], "web-1", "ERROR")
    assert first.timestamp_ns == timestamp_ns("2026-11-30T19:40:07.123456Z")
    assert first.attributes == {"file": "/var/log/app.log", "source_type": "file"}
    assert (second.body, second.service) == ("b", "vector")


def test_a_document_of_beats_is_accepted(service: Service) -> None:
    line = {
        "@timestamp": "2026-11-30T19:40:07.123Z",
        "message": "x",
        "host": {"name": "h1"},
        "log": {"file": {"path": "/a.log"}, "offset": 5},
        "agent": {"type": "filebeat"},
    }
    (row,) = rows(service, json.dumps(line).encode(), NDJSON)
    assert (row.body, row.host, row.timestamp_ns) == ("x", "h1", timestamp_ns("2026-11-30T19:40:07.123Z"))
    assert row.attributes.items() >= {"log.file.path": "/a.log", "agent.type": "filebeat", "host.name": "h1"}.items()


def attribute(key: str, kind: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": {kind: value}}


def exported(*sent: Any, resource: list[Any] | None = None, scope: dict[str, Any] | None = None) -> bytes:
    """One line of the file exporter."""
    of_resource = [attribute("service.name", "stringValue", "cart")] if resource is None else resource
    scopes = [{"scope": scope or {}, "logRecords": list(sent)}]
    return json.dumps({"resourceLogs": [{"resource": {"attributes": of_resource}, "scopeLogs": scopes}]}).encode()


FULL = {
    "timeUnixNano": "1764531607123456789",
    "observedTimeUnixNano": "1764531608000000000",
    "severityNumber": 17,
    "severityText": "Error",
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "body": {"stringValue": "it broke"},
    "attributes": [
        attribute("http.status", "intValue", "503"),
        attribute("ok", "boolValue", False),
        attribute("ratio", "doubleValue", 0.5),
        attribute("tags", "arrayValue", {"values": [{"stringValue": "a"}, {"intValue": 2}]}),
        attribute("user", "kvlistValue", {"values": [attribute("id", "intValue", "7")]}),
        attribute("raw", "bytesValue", "aGk="),
        attribute("nan", "doubleValue", "NaN"),
        {"key": "empty", "value": {}},
    ],
}
RESOURCE = [
    attribute("service.name", "stringValue", "cart"),
    attribute("host.name", "stringValue", "h1"),
    attribute("deployment.environment.name", "stringValue", "prod"),
    attribute("k8s.pod.name", "stringValue", "cart-1"),
]


def test_a_line_of_the_file_exporter_becomes_its_records(service: Service) -> None:
    line = exported(FULL, {"body": {"stringValue": "b"}}, resource=RESOURCE, scope={"name": "lib", "version": "1"})
    first, second, third = records(service, line + b"\n" + exported({"body": {"stringValue": "c"}}), NDJSON)

    assert first == {
        "service": "cart",
        "host": "h1",
        "env": "prod",
        "body": "it broke",
        "timestamp": 1764531607123456789,
        "observed_timestamp": 1764531608000000000,
        "severity_text": "Error",
        "severity_number": 17,
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
        "attributes": {
            "k8s.pod.name": "cart-1",
            "otel.scope.name": "lib",
            "otel.scope.version": "1",
            "http.status": 503,
            "ok": False,
            "ratio": 0.5,
            "tags": ["a", 2],
            "user": {"id": 7},
            "raw": "aGk=",
            "nan": "NaN",
        },
    }
    assert (second["body"], second["attributes"]["k8s.pod.name"]) == ("b", "cart-1")
    assert third == {"service": "cart", "body": "c"}


@pytest.mark.parametrize("media", [NDJSON, "application/json", ""])
def test_a_document_over_several_lines_is_read_as_one_line_is(service: Service, media: str) -> None:
    content = exported(FULL) if media == NDJSON else json.dumps(json.loads(exported(FULL)), indent=2).encode()
    assert [record["body"] for record in records(service, content, media)] == ["it broke"]


@pytest.mark.skipif(not OTLP.exists(), reason="the examples of OTLP are not on this machine")
def test_the_published_example_is_accepted(service: Service) -> None:
    (row,) = rows(service, OTLP.read_bytes(), "application/json")

    assert (row.service, row.body, row.severity_number) == ("my.service", "Example log record", 10)
    assert row.timestamp_ns == 1544712660300000000
    assert row.trace_id == "5b8efff798038103d269b633813fc60c"
    assert row.attributes["my.scope.attribute"] == "some scope attribute"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"kvlistValue": {"values": [attribute("a", "intValue", 1)]}}, '{"a":1}'),
        ({"arrayValue": {"values": [{"boolValue": True}]}}, "[true]"),
        ({"intValue": "5"}, "5"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_body_of_any_kind_becomes_text(service: Service, body: Any, text: str) -> None:
    assert records(service, exported({"body": body}), NDJSON)[0]["body"] == text


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (5, "invalid_value"),
        ({"body": {"intValue": "many"}}, "invalid_value"),
        ({"body": {"oddValue": 1}}, "invalid_value"),
        ({"body": {"stringValue": "x"}, "attributes": {"a": 1}}, "invalid_value"),
        ({"body": {"stringValue": "x"}, "severityNumber": 99}, "invalid_value"),
        ({"body": {"stringValue": "x"}, "timeUnixNano": "soon"}, "invalid_timestamp"),
        ({"body": {"stringValue": "x"}, "traceId": "a" * 65}, "too_long"),
        (
            {
                "attributes": [attribute("a", "stringValue", "x")]
                + [attribute(f"{n}", "intValue", n) for n in range(300)]
            },
            "too_many_attributes",
        ),
    ],
)
def test_a_record_of_otlp_that_cannot_be_used_is_named_by_its_place(service: Service, sent: Any, code: str) -> None:
    good = {"body": {"stringValue": "good"}}
    service.read()
    answer = service.post(exported(good, good, sent, good), media=NDJSON).json()

    assert [(entry["index"], entry["code"]) for entry in answer["rejected"]] == [(2, code)]
    assert service.read()[0].header.count == 3


def test_deep_values_of_otlp_are_refused(service: Service) -> None:
    value: Any = {"intValue": 1}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    good = {"body": {"stringValue": "good"}}
    deep = {**good, "attributes": [{"key": "a", "value": value}]}
    assert service.post(exported(good, deep), media=NDJSON).json()["rejected"][0]["code"] == "too_deep"


def test_a_resource_that_is_repeated_in_each_record_cannot_grow_past_the_limit(service: Service) -> None:
    large = [attribute("a", "stringValue", "x" * 900_000)]
    line = exported(*[{"body": {"stringValue": "x"}}] * 100, resource=large)
    assert service.post(line, media=NDJSON).json()["code"] == "body_too_large"
    many = exported(*[{}] * 10_001)
    assert service.post(many, media=NDJSON).json()["code"] == "too_many_records"


@pytest.mark.parametrize(
    "line", [b'{"resourceLogs":5}', b'{"resourceLogs":[5]}', b'{"resourceLogs":[{"scopeLogs":5}]}']
)
def test_a_line_of_otlp_that_cannot_be_read_is_one_rejected_record(service: Service, line: bytes) -> None:
    answer = service.post(b'{"body":"x"}\n' + line, media=NDJSON).json()
    assert [(entry["index"], entry["code"]) for entry in answer["rejected"]] == [(1, "invalid_value")]


def test_a_record_that_only_speaks_of_otlp_is_a_record(service: Service) -> None:
    line = json.dumps({"msg": "x", "about": {"resourceLogs": [1]}}).encode()
    assert records(service, line, NDJSON) == [{"body": "x", "attributes": {"about": {"resourceLogs": [1]}}}]


def test_an_export_without_records_has_no_records(service: Service) -> None:
    assert service.post(exported(), media=NDJSON).json()["code"] == "no_records"


def test_events_are_taken_from_msgpack_too(service: Service) -> None:
    content = fluent.msgpack([[[fluent.event_time(), {}], {"name": "deploy", "message": "v2", "by": "ci"}]])
    (event,) = records(service, content, MSGPACK, path="/events")
    assert (event["name"], event["body"], event["attributes"]) == ("deploy", "v2", {"by": "ci"})
