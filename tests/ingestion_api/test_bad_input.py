"""Bad input over HTTP: never a 5xx, a message that names record and field, and the good records are kept."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard

from contracts.messages import Kind
from tests.ingestion_api.conftest import Service
from tests.samples.json_texts import FREE, RIGHT, WRONG, JsonText
from tests.samples.sources import JSON, STRINGS
from tests.web.test_body import gzip_bomb, zstd_bomb

NDJSON = "application/x-ndjson"
GOOD = b'{"body":"good"}'


def attributes(value: bytes) -> bytes:
    return b'{"body":"x","attributes":' + value + b"}"


BAD: dict[str, tuple[bytes, str, str]] = {
    "NaN": (b'{"body":"x","timestamp":NaN}', "invalid_json", "timestamp"),
    "NaN in attributes": (attributes(b'{"rate":NaN}'), "invalid_json", "rate"),
    "Infinity": (attributes(b'{"rate":-Infinity}'), "invalid_json", "rate"),
    "1e400": (attributes(b'{"rate":1e400}'), "invalid_value", "attributes"),
    "lone surrogate": (b'{"body":"\\ud800"}', "invalid_json", "body"),
    "lone low surrogate": (b'{"body":"a\\udc00b"}', "invalid_json", "body"),
    "surrogate key": (attributes(b'{"\\ud800":1}'), "invalid_json", "attributes"),
    "raw surrogate": (b'{"body":"\xed\xa0\x80"}', "invalid_utf8", "body"),
    "latin-1": (b'{"body":"caf\xe9"}', "invalid_utf8", "body"),
    "UTF-16": ('{"body":"x"}'.encode("utf-16-le"), "invalid_json", ""),
    "truncated after a pair": (b'{"body":"\\ud83d\\ude00","service":"x', "invalid_json", "service"),
    "control character": (b'{"body":"a\x01b"}', "invalid_json", "body"),
    "depth 17": (attributes(b'{"x":' * 16 + b"1" + b"}" * 16), "too_deep", "attributes"),
    "depth 1000": (attributes(b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}"), "too_deep", "attributes"),
    "depth 100000": (attributes(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "too_deep", "attributes"),
    "open depth": (b"[" * 100_000, "too_deep", ""),
    "truncated": (b'{"body":"x","serv', "invalid_json", ""),
    "null body": (b'{"body":null}', "missing_field", "body"),
    "text attributes": (attributes(b'"x"'), "invalid_value", "attributes"),
    "list attributes": (attributes(b"[1]"), "invalid_value", "attributes"),
    "text severity": (b'{"body":"x","severity_number":"9"}', "invalid_value", "severity_number"),
    "severity 25": (b'{"body":"x","severity_number":25}', "invalid_value", "severity_number"),
    "severity true": (b'{"body":"x","severity_number":true}', "invalid_value", "severity_number"),
    "no body": (b'{"service":"x"}', "missing_field", "body"),
    "empty object": (b"{}", "missing_field", "body"),
    "not a time": (b'{"body":"x","timestamp":"yesterday"}', "invalid_timestamp", "timestamp"),
    "31 February": (b'{"body":"x","timestamp":"2024-02-31T00:00:00Z"}', "invalid_timestamp", "timestamp"),
    "empty time": (b'{"body":"x","observed_timestamp":""}', "invalid_timestamp", "observed_timestamp"),
    "true as time": (b'{"body":"x","timestamp":true}', "invalid_value", "timestamp"),
    "70 kB id": (b'{"body":"x","trace_id":"' + b"a" * 70_000 + b'"}', "too_long", "trace_id"),
    "70 kB service": (b'{"body":"x","service":"' + b"a" * 70_000 + b'"}', "too_long", "service"),
    "5000 attributes": (
        attributes(json.dumps({f"k{n}": n for n in range(5000)}).encode()),
        "too_many_attributes",
        "attributes",
    ),
    "5000 nested": (
        attributes(json.dumps({"a": {f"k{n}": n for n in range(5000)}}).encode()),
        "too_many_attributes",
        "attributes",
    ),
    "5000 items": (attributes(json.dumps({"a": list(range(5000))}).encode()), "too_many_attributes", "attributes"),
    "too large": (b'{"body":"' + b"a" * (1 << 20) + b'"}', "record_too_large", ""),
    "5000 unknown fields": (
        json.dumps({"msg": "x", **{f"k{n}": n for n in range(5000)}}).encode(),
        "too_many_attributes",
        "attributes",
    ),
    "a key of 1 MiB": (b'{"msg":"x","' + b"k" * (1 << 20) + b'":1}', "record_too_large", ""),
    "unknown depth 17": (b'{"msg":"x","y":' + b'{"x":' * 16 + b"1" + b"}" * 17, "too_deep", ""),
    "unknown depth 100000": (b'{"msg":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", ""),
    "body depth 100000": (b'{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", ""),
    "unknown surrogate": (b'{"msg":"x","y":"\\ud800"}', "invalid_json", "y"),
    "unknown surrogate key": (b'{"msg":"x","\\ud800":1}', "invalid_json", ""),
    "unknown latin-1": (b'{"msg":"x","y":"caf\xe9"}', "invalid_utf8", "y"),
    "unknown NaN": (b'{"msg":"x","y":NaN}', "invalid_json", "y"),
    "unknown 1e400": (b'{"msg":"x","y":1e400}', "invalid_value", ""),
    "latin-1 in msg": (b'{"msg":"caf\xe9"}', "invalid_utf8", "msg"),
    "damage in a body object": (b'{"body":{"a":tru}}', "invalid_json", "a"),
    "bad UTF-8 in a body object": (b'{"body":{"a":"\xff"}}', "invalid_utf8", "a"),
    "long number as level": (b'{"msg":"x","level":' + b"1" * 300 + b"}", "invalid_value", ""),
    "level true": (b'{"msg":"x","level":true}', "invalid_value", "level"),
    "a number": (b"5", "not_an_object", ""),
    "a string": (b'"x"', "not_an_object", ""),
    "null": (b"null", "not_an_object", ""),
    "an array": (b'[{"body":"x"}]', "not_an_object", ""),
    "text": (b"hello world", "invalid_json", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_named_and_its_neighbours_are_kept(service: Service, name: str) -> None:
    line, code, field = BAD[name]
    service.read()
    response = service.post(GOOD + b"\n" + line + b"\n" + GOOD, media=NDJSON)

    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 2
    (rejection,) = response.json()["rejected"]
    assert (rejection["index"], rejection["code"]) == (1, code)
    assert rejection["message"].startswith("record 1: ")
    assert f'"{field}"' in rejection["message"] or not field, rejection["message"]
    assert len(rejection["message"]) < 400
    (message,) = service.read()
    assert message.lines == [GOOD, b"", GOOD]


UNCUTTABLE = {"truncated", "truncated after a pair", "open depth"}  # its end cannot be told from its neighbours


@pytest.mark.parametrize("name", sorted(BAD.keys() - UNCUTTABLE))
def test_a_bad_element_of_an_array_is_named_and_its_neighbours_are_kept(service: Service, name: str) -> None:
    line, _, _ = BAD[name]
    service.read()
    response = service.post(b"[" + GOOD + b"," + line + b"," + GOOD + b"]", media="application/json")

    assert response.status_code == 202, response.text
    assert [entry["index"] for entry in response.json()["rejected"]] == [1]
    assert service.read()[0].lines == [GOOD, b"", GOOD]


@pytest.mark.parametrize("name", BAD)
def test_nothing_usable_is_400_with_the_same_members(service: Service, name: str) -> None:
    service.read()
    response = service.post(BAD[name][0], media=NDJSON)

    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "no_usable_record"
    assert (body["accepted"], len(body["rejected"]), body["duplicate"]) == (0, 1, False)
    assert service.read() == []


ODD_BUT_GOOD = {
    "2^64": attributes(b'{"n":18446744073709551616}'),
    "2^64 as time": b'{"body":"x","timestamp":18446744073709551616}',
    "duplicate keys": b'{"body":"x","body":"y"}',
    "year 0001": b'{"body":"x","timestamp":"0001-01-01T00:00:00Z"}',
    "year 9999": b'{"body":"x","timestamp":"9999-12-31T23:59:59.999999999Z"}',
    "in ten years": b'{"body":"x","timestamp":"2036-01-01T00:00:00+14:00"}',
    "before 1970": b'{"body":"x","timestamp":-1}',
    "milliseconds": b'{"body":"x","timestamp":1700000000123}',
    "seconds with fraction": b'{"body":"x","timestamp":1700000000.123}',
    "huge float time": b'{"body":"x","timestamp":1e300}',
    "empty body": b'{"body":""}',
    "escaped NUL": b'{"body":"\\u0000"}',
    "emoji": '{"body":"\U0001f600","attributes":{"\\ud83d\\ude00":1}}'.encode(),
    "depth 16": attributes(b'{"x":' * 14 + b'{"y":1}' + b"}" * 14),
    "256 attributes": attributes(json.dumps({f"k{n}": n for n in range(256)}).encode()),
    "brackets in text": b'{"body":"' + b"[{" * 500 + b'","attributes":{"x":"' + b"[,:" * 500 + b'"}}',
    "null fields": b'{"body":"x","timestamp":null,"attributes":null,"trace_id":null}',
    "long body": b'{"body":"' + b"a" * 1_000_000 + b'"}',
}


@pytest.mark.parametrize("name", ODD_BUT_GOOD)
def test_an_odd_record_is_kept_as_it_is(service: Service, name: str) -> None:
    service.read()
    response = service.post(GOOD + b"\n" + ODD_BUT_GOOD[name], media=NDJSON)

    assert response.status_code == 202, response.text
    assert response.json()["rejected"] == []
    assert service.read()[0].lines == [GOOD, ODD_BUT_GOOD[name]]


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        (b'{"name":"x"}', "missing_field", "value"),
        (b'{"value":1}', "missing_field", "name"),
        (b'{"name":"","value":1}', "invalid_value", "name"),
        (b'{"name":"x","value":"1"}', "invalid_value", "value"),
        (b'{"name":"x","value":NaN}', "invalid_json", "value"),
        (b'{"name":"x","value":1e999}', "invalid_value", "value"),
        (b'{"name":"x","value":true}', "invalid_value", "value"),
        (b'{"name":"x","value":1,"kind":"histogram"}', "invalid_value", "kind"),
        (b'{"name":"x","value":1,"kind":"gauge\\n"}', "invalid_value", "kind"),
        (b'{"name":"x","value":1,"body":"y"}', "unknown_field", "body"),
    ],
)
def test_a_bad_metric_is_named(service: Service, line: bytes, code: str, field: str) -> None:
    response = service.post(b'{"name":"ok","value":1}\n' + line, path="/metrics")

    assert response.status_code == 202, response.text
    (rejection,) = response.json()["rejected"]
    assert (rejection["index"], rejection["code"]) == (1, code)
    assert f'"{field}"' in rejection["message"]


def refused(service: Service, content: bytes, status: int, code: str, **headers: str) -> dict[str, Any]:
    service.read()
    response = service.post(content, **headers)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert service.read() == []
    return body


@pytest.mark.parametrize("media", ["", NDJSON, "application/json"])
@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_body"), (b" \r\n\n", "empty_body"), (b"\xef\xbb\xbf", "empty_body")],
)
def test_an_empty_batch_is_told(service: Service, media: str, content: bytes, code: str) -> None:
    refused(service, content, 400, code, media=media)


@pytest.mark.parametrize("content", [b"[]", b'{"records":[]}', b" [ ] "])
def test_an_empty_list_is_told(service: Service, content: bytes) -> None:
    refused(service, content, 400, "no_records")


def test_fields_beside_records_are_not_dropped_in_silence(service: Service) -> None:
    refused(service, b'{"records":[{"body":"x"}],"service":"y"}', 400, "unknown_field")


def test_too_many_records_are_refused_as_a_whole(service: Service) -> None:
    refused(service, b'{"body":"x"}\n' * 10_001, 413, "too_many_records")
    refused(service, b"[" + b'{"body":"x"},' * 10_000 + b'{"body":"x"}]', 413, "too_many_records")
    assert service.post(b'{"body":"x"}\n' * 10_000).json()["accepted"] == 10_000


def test_a_body_at_the_limit_passes_and_one_byte_over_is_413(service: Service) -> None:
    limit = 16 << 20
    line = b'{"body":"' + b"a" * 500_000 + b'"}\n'
    content = (line * 40)[:limit]
    content = content[: content.rindex(b"\n") + 1].ljust(limit)
    assert service.post(content, media=NDJSON).json()["accepted"] == limit // len(line)
    service.read()

    refused(service, content + b" ", 413, "body_too_large")
    refused(service, gzip.compress(content + b" ", 1), 413, "body_too_large", Content_Encoding="gzip")
    refused(service, zstandard.compress(content + b" "), 413, "body_too_large", Content_Encoding="zstd")


def test_a_stream_without_length_is_cut_off_too(service: Service) -> None:
    response = service.client.post("/logs", content=(b" " * 100_000 for _ in range(200)))
    assert response.status_code == 413, response.text


def test_bombs_corrupt_bodies_and_unknown_encodings(service: Service) -> None:
    refused(service, zstd_bomb(256), 413, "body_too_large", Content_Encoding="zstd")
    refused(service, gzip_bomb(64), 413, "body_too_large", Content_Encoding="gzip")
    refused(service, b"hello", 400, "corrupt_body", Content_Encoding="gzip")
    refused(service, zstandard.compress(GOOD)[:-2], 400, "corrupt_body", Content_Encoding="zstd")
    refused(service, GOOD, 415, "unsupported_encoding", Content_Encoding="br")


def test_keys_that_do_not_fit(service: Service) -> None:
    for key, status, code in (
        ("", 401, "missing_key"),
        ("hw_a_b", 401, "unknown_key"),
        (service.key + "x", 401, "unknown_key"),
    ):
        refused(service, GOOD, status, code, X_API_Key=key)


@pytest.mark.parametrize("texts", JSON)
def test_json_of_every_damage_as_bodies(service: Service, texts: list[JsonText]) -> None:
    assert len(texts) > 150
    for text in texts:
        for media, path in (("", "/logs"), (NDJSON, "/metrics"), ("application/json", "/events")):
            response = service.post(text.content, path=path, media=media)
            assert response.status_code in (202, 400), (text.name, media, response.text)
            assert not (text.verdict == WRONG and response.status_code == 202), text.name


@pytest.mark.parametrize("texts", JSON)
def test_json_of_every_damage_as_attributes(service: Service, texts: list[JsonText]) -> None:
    for text in texts:
        if b"\n" in text.content or text.verdict == FREE:
            continue
        line = attributes(b'{"x":' + text.content + b"}")
        response = service.post(GOOD + b"\n" + line, media=NDJSON)
        assert response.status_code == 202, (text.name, response.text)
        good = response.json()["accepted"] == 2
        assert good == (text.verdict == RIGHT) or "duplicated" in text.name or "100000" in text.name, text.name


@pytest.mark.parametrize("strings", STRINGS)
def test_naughty_strings_as_bodies_values_and_keys(service: Service, strings: list[str]) -> None:
    assert len(strings) > 200
    service.read()
    records = [{"body": text, "attributes": {text or "empty": text, "list": [text]}} for text in strings]
    response = service.post("\n".join(json.dumps(record) for record in records).encode(), media=NDJSON)
    assert response.json() == {"accepted": len(records), "rejected": [], "duplicate": False}
    assert [json.loads(line) for line in service.read()[0].lines] == records
    for text in strings:
        content = text.encode("utf-8", "surrogatepass")
        assert service.post(content).status_code in (202, 400), text


@pytest.mark.parametrize("strings", STRINGS)
def test_naughty_strings_as_fields(service: Service, strings: list[str]) -> None:
    records = [{"body": "x", "service": text[:256], "timestamp": text, text: 1} for text in strings]
    response = service.post(json.dumps(records).encode())
    assert response.status_code in (202, 400)
    assert len(response.json()["rejected"]) + response.json()["accepted"] == len(records)


def test_words_fit_the_damage(service: Service) -> None:
    def message(line: bytes) -> str:
        text: str = service.post(GOOD + b"\n" + line, media=NDJSON).json()["rejected"][0]["message"]
        return text

    assert "surrogate" in message(b'{"body":"\\ud83d"}')
    assert "surrogate" in message(b'{"service":"\\ud83d\\ude00","body":"\\ude00"}')
    assert "surrogate" not in message(b'{"service":"\\ud83d\\ude00","body":"x')
    assert "NaN is not JSON" in message(b'{"body":"x","attributes":{"a":NaN}}')
    assert "-Infinity is not JSON" in message(b'{"body":"x","attributes":{"a": -Infinity}}')
    assert "this is null:" in message(b"null")
    assert "got true:" in message(b'{"body":"x","service":true}')
    assert "NaN is not" not in message(b'{"body": x,"attributes":{"a":NaN}}')


def test_the_counters_tell_what_came(service: Service) -> None:
    service.post(GOOD + b"\nbad", media=NDJSON)
    text = service.client.get("/metrics").text
    assert 'headwater_ingest_records_total{kind="logs",outcome="accepted",tenant="shop"}' in text
    assert 'headwater_ingest_records_total{kind="logs",outcome="rejected",tenant="shop"}' in text
    assert 'headwater_ingest_rejects_total{code="invalid_json"}' in text
    assert Kind.LOGS.value in text
