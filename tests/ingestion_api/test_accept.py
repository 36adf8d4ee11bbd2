"""What is accepted, in every shape and encoding, and what stands on the bus afterwards."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from contracts.messages import Kind
from tests.ingestion_api.conftest import Service

ONE, TWO = b'{"body":"one","service":"shop"}', b'{"message":"two","attributes":{"a":{"b":[1,2]}}}'
NDJSON = "application/x-ndjson"


def accepted(service: Service, content: bytes, **options: str) -> dict[str, Any]:
    response = service.post(content, **options)
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    assert answer.keys() == {"accepted", "rejected", "duplicate"}
    return answer


@pytest.mark.parametrize(
    ("media", "content"),
    [
        (NDJSON, ONE + b"\n" + TWO),
        (NDJSON, ONE + b"\r\n" + TWO + b"\r\n"),
        ("application/json", b"[" + ONE + b"," + TWO + b"]"),
        ("application/json", b'{"records":[' + ONE + b"," + TWO + b"]}"),
        ("application/json; charset=utf-8", b' \n[\n  {"body":\n"one",\r\n"service":"shop"},' + TWO + b"]"),
        ("application/json", ONE + b"\n" + TWO + b"\n"),
        ("text/plain", ONE + b"\n" + TWO),
        ("", b"[" + ONE + b"," + TWO + b"]"),
        ("", b"\xef\xbb\xbf" + ONE + b"\n" + TWO),
        ("", b"\xef\xbb\xbf[" + ONE + b"," + TWO + b"]"),
        ("application/x-www-form-urlencoded", ONE + b"\n" + TWO),
    ],
)
def test_every_shape_becomes_one_message_of_one_line_a_record(service: Service, media: str, content: bytes) -> None:
    service.read()
    assert accepted(service, content, media=media) == {"accepted": 2, "rejected": [], "duplicate": False}

    (message,) = service.read()

    assert message.header.span == message.header.count == 2
    assert [json.loads(line) for line in message.lines if line] == [json.loads(ONE), json.loads(TWO)]
    assert message.header.tenant == "shop"
    assert abs(message.header.received_ns - time.time_ns()) < 60e9


def test_one_object_over_many_lines_is_one_record(service: Service) -> None:
    service.read()
    assert accepted(service, json.dumps(json.loads(TWO), indent=2).encode())["accepted"] == 1
    (message,) = service.read()
    assert len(message.lines) == 1


@pytest.mark.parametrize(("path", "kind"), [("/metrics", Kind.METRICS), ("/events", Kind.EVENTS)])
def test_metrics_and_events_go_to_their_own_topics(service: Service, path: str, kind: Kind) -> None:
    record = b'{"name":"cpu","value":0.5,"unit":"1","kind":"sum"}' if kind is Kind.METRICS else b'{"name":"deploy"}'
    accepted(service, record, path=path)

    assert [message.payload for message in service.read(kind)] == [record]


def test_get_metrics_is_prometheus_and_post_metrics_takes_points(service: Service) -> None:
    text = service.client.get("/metrics").text

    assert "headwater_ingest_records_total" in text


MANY = b"\n".join(b'{"body":"line %d of a batch"}' % number for number in range(200))


def test_what_the_client_compressed_is_forwarded_as_it_is(service: Service) -> None:
    service.read()
    wire = zstandard.ZstdCompressor(level=3).compress(MANY)
    assert accepted(service, wire, media=NDJSON, Content_Encoding="zstd")["accepted"] == 200

    (message,) = service.read()

    assert message.raw == wire
    assert (message.header.encoding, message.payload) == ("zstd", MANY)


@pytest.mark.parametrize("form", ["plain", "gzip", "two frames", "no size"])
def test_other_forms_are_stored_as_one_zstd_frame(service: Service, form: str) -> None:
    service.read()
    stream = zstandard.ZstdCompressor().compressobj()
    wire, encoding = {
        "plain": (MANY, ""),
        "gzip": (gzip.compress(MANY), "gzip"),
        "two frames": (zstandard.compress(MANY[:500]) + zstandard.compress(MANY[500:]), "zstd"),
        "no size": (stream.compress(MANY) + stream.flush(), "zstd"),
    }[form]
    accepted(service, wire, media=NDJSON, Content_Encoding=encoding)

    (message,) = service.read()

    assert (message.header.encoding, message.payload) == ("zstd", MANY)
    assert zstandard.frame_content_size(message.raw) == len(MANY)


def test_refused_and_blank_lines_keep_their_numbers(service: Service) -> None:
    service.read()
    content = ONE + b"\n\n  \r\n" + b"bad\n" + TWO + b"\n" + b'{"bodi":"x"}\n\n\n'
    wire = zstandard.compress(content)
    answer = accepted(service, wire, media=NDJSON, Content_Encoding="zstd")

    (message,) = service.read()

    assert answer["accepted"] == 2
    assert [entry["index"] for entry in answer["rejected"]] == [3, 5]
    assert message.lines == [ONE, b"", b"", b"", TWO, b""]
    assert (message.header.count, message.header.span) == (2, 6)


def test_a_blank_line_alone_does_not_shift_the_others(service: Service) -> None:
    service.read()
    accepted(service, zstandard.compress(ONE + b"\n \n" + TWO), media=NDJSON, Content_Encoding="zstd")
    (message,) = service.read()
    assert message.lines == [ONE, b"", TWO]


@pytest.mark.parametrize(
    "line", [b'{"body":', b'"a"}', b'{"body":"a"},', b'"a"{"body":"b"}', b'{"body":{"a":1}{"b":2}}']
)
def test_a_line_that_is_no_record_is_refused(service: Service, line: bytes) -> None:
    service.read()
    answer = accepted(service, ONE + b"\n" + line + b"\n" + TWO, media=NDJSON)

    assert [entry["index"] for entry in answer["rejected"]] == [1]
    assert service.read()[0].lines == [ONE, b"", TWO]


@pytest.mark.parametrize("media", [NDJSON, "application/json", ""])
@pytest.mark.parametrize("between", [b"", b" ", b"\n"])
def test_records_may_follow_each_other_on_one_line(service: Service, media: str, between: bytes) -> None:
    service.read()
    answer = accepted(service, between.join([ONE, b'{"body":5,"service":5}', TWO, TWO]), media=media)

    assert answer["accepted"] == 3
    assert [entry["index"] for entry in answer["rejected"]] == [1]
    assert service.read()[0].lines == [ONE, b"", TWO, TWO]


def test_documents_over_several_lines_may_follow_each_other(service: Service) -> None:
    service.read()
    content = b"\n".join(json.dumps(json.loads(record), indent=1).encode() for record in (ONE, TWO, b'{"service":1}'))
    answer = accepted(service, content, media="application/json")

    assert [entry["index"] for entry in answer["rejected"]] == [2]
    first, second, rest = service.read()[0].lines
    assert (json.loads(first), json.loads(second), rest) == (json.loads(ONE), json.loads(TWO), b"")


def test_the_number_of_records_is_limited_where_they_stand_on_one_line(service: Service) -> None:
    assert service.post(ONE * 10_001, media=NDJSON).json()["code"] == "too_many_records"


def test_a_record_of_another_program_is_forwarded_with_known_fields_and_counted(service: Service) -> None:
    service.read()
    accepted(service, ONE + b'\n{"log":"x","user":"u"}\n' + TWO, media=NDJSON)

    assert service.read()[0].lines == [ONE, b'{"body":"x","attributes":{"user":"u"}}', TWO]
    counted = service.client.get("/metrics").text
    assert 'headwater_ingest_rewritten_fields_total{kind="logs",reason="unknown_field"}' in counted


def test_a_metric_point_with_an_unknown_field_is_refused(service: Service) -> None:
    assert service.post(b'{"name":"x","value":1,"user":"u"}', path="/metrics").json()["code"] == "no_usable_record"


def test_unknown_fields_are_refused_where_that_is_set(start: Callable[..., Service]) -> None:
    service = start(ingest_unknown_fields="refuse")
    (rejected,) = accepted(service, ONE + b'\n{"log":"x","user":"u"}', media=NDJSON)["rejected"]
    assert (rejected["code"], '"user"' in rejected["message"]) == ("unknown_field", True)


def test_limits_hold_for_a_record_with_its_unknown_fields(service: Service) -> None:
    many = json.dumps({"body": "x", **{f"k{n}": n for n in range(257)}}).encode()
    deep = b'{"body":"x","a":' + b'{"a":' * 16 + b"1" + b"}" * 17
    large = b'{"body":{"a":"' + b"\\n" * 400_000 + b'"}}'  # as text, each backslash is two
    answer = accepted(service, b"\n".join([many, deep, large, ONE]), media=NDJSON)

    codes = [entry["code"] for entry in answer["rejected"]]
    assert codes == ["too_many_attributes", "too_deep", "record_too_large"]


def test_the_request_id_comes_back(service: Service) -> None:
    assert service.post(ONE, X_Request_Id="me-1").headers["x-request-id"] == "me-1"
    accepted(service, ONE, X_Request_Id="me-1")
    first, second = service.read()[-2:]
    assert first.header.producer != second.header.producer  # a client's id is no promise of being unique


def test_ready_while_the_bus_answers(service: Service) -> None:
    response = service.client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["checks"]["bus"]["ready"]


def test_the_document_and_the_page_name_every_field(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    assert {"LogRecord", "MetricPoint", "Event", "Answer", "Rejection"} <= document["components"]["schemas"].keys()
    assert "post" in document["paths"]["/logs"]
    assert "get" in document["paths"]["/metrics"]
    assert "post" in document["paths"]["/metrics"]
    page = service.client.get("/docs").text
    assert "observed_timestamp" in page
    assert "X-Headwater-Sequence" in page
