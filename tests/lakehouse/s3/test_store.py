"""Where the lake lies: URL and settings -> options, and errors of S3 clients -> what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError
from lakehouse.s3.errors import trouble
from lakehouse.s3.store import ObjectStore, object_store, reading_options, writing_options
from tests.settings import settings

AWS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
KEYS = {"s3_access_key": "known", "s3_secret_key": "whispered"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)


def store_at(url: str, **given: Any) -> ObjectStore:
    store = object_store(url, settings(**given))
    assert store is not None
    return store


@pytest.mark.parametrize("url", ["lake", "/var/lib/lake", "./a:b", "C/lake"])
def test_a_folder_is_no_object_store_and_needs_no_options(url: str) -> None:
    assert object_store(url, settings()) is None
    assert reading_options(url, settings(**KEYS)) == {}


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [("s3://b", "b", ""), ("s3://b/", "b", ""), ("s3://b.c/x/y/", "b.c", "x/y"), ("s3a://b/x", "b", "x")],
)
def test_a_url_names_bucket_and_prefix(url: str, bucket: str, prefix: str) -> None:
    store = store_at(url)
    assert (store.bucket, store.prefix) == (bucket, prefix)


@pytest.mark.parametrize("url", ["s3:/b/x", "s3:b", "s3://", "s3:///x", "s3://key:secret@b/x", "gs://b/x", "file:///x"])
def test_a_url_that_is_neither_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="neither a folder nor s3://bucket/prefix"):
        object_store(url, settings())


@pytest.mark.parametrize("endpoint", ["localhost:9000", "http://", "http://host:9000/bucket", "ftp://host"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="HEADWATER_S3_ENDPOINT"):
        object_store("s3://b", settings(s3_endpoint=endpoint))


@pytest.mark.parametrize("name", KEYS)
def test_one_key_without_the_other_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="HEADWATER_S3_") as caught:
        object_store("s3://b", settings(**{name: "x"}))
    assert name.upper() not in str(caught.value)


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HEADWATER_S3_CA_FILE"):
        object_store("s3://b", settings(s3_ca_file=str(tmp_path / "none.pem")))


def test_settings_win_over_the_environment_and_the_environment_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (store_at("s3://b").endpoint, store_at("s3://b").region) == ("", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other:1/")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert (store_at("s3://b").endpoint, store_at("s3://b").region) == ("http://other:1", "eu-central-1")
    ours = store_at("s3://b", s3_endpoint="https://mine:2", s3_region="here")
    assert (ours.endpoint, ours.region) == ("https://mine:2", "here")


def test_keys_go_to_delta_and_never_into_text() -> None:
    store = store_at("s3://b", s3_endpoint="http://host:1", **KEYS)
    assert "whispered" not in repr(store)
    assert store.options(1, 0)["aws_secret_access_key"] == "whispered"
    assert "aws_secret_access_key" not in store_at("s3://b").options(1, 0)


def test_plain_http_is_allowed_by_the_address_alone() -> None:
    assert store_at("s3://b", s3_endpoint="http://host:1").options(1, 0)["allow_http"] == "true"
    assert store_at("s3://b", s3_endpoint="https://host:1").options(1, 0)["allow_http"] == "false"


def test_a_virtual_host_carries_the_bucket() -> None:
    store = store_at("s3://bucket", s3_endpoint="https://host:1", s3_path_style=False, **KEYS)
    assert store.options(1, 0)["aws_endpoint_url"] == "https://bucket.host:1"
    signed = store.client(1).generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})
    assert signed.startswith("https://bucket.host:1/k?")


def test_questions_give_up_sooner_than_the_writer() -> None:
    given = settings(s3_query_timeout_s=0.5, s3_write_timeout_s=7, s3_connect_timeout_s=2)
    reading, writing = reading_options("s3://b", given), writing_options("s3://b", given)
    assert (reading["timeout"], reading["retry_timeout"], reading["connect_timeout"]) == ("500ms", "500ms", "2000ms")
    assert (writing["timeout"], writing["retry_timeout"]) == ("7000ms", "7000ms")
    assert int(reading["max_retries"]) < int(writing["max_retries"])


def answer(status: str, code: str) -> str:
    url = "http://127.0.0.1:1/b/logs/_delta_log/_last_checkpoint"
    return f"Generic S3 error\n \x1b[31m↳\x1b[0m Error performing GET {url} in 1ms - {status}\n<Code>{code}</Code>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer("403 Forbidden", "SignatureDoesNotMatch"), "secret key"),
        (answer("404 Not Found", "XAdminUserNotFound"), "access key"),
        (answer("403 Forbidden", "AccessDenied"), "denies access"),
        (answer("403 Forbidden", "SomethingOfTheirOwn"), "denies access (403 SomethingOfTheirOwn)"),
        (answer("404 Not Found", "NoSuchBucket"), "bucket does not exist"),
        (answer("404 Not Found", "NoSuchKey"), "file of the lake is gone"),
        (answer("301 Moved Permanently", "Elsewhere"), "another region"),
        (answer("503 Service Unavailable", "SlowDown"), "answers with errors (SlowDown)"),
        (answer("507 Insufficient Storage", "StorageFull"), "answers with errors (507 StorageFull)"),
        ("Generic S3 error\n Error performing GET x\n tcp connect error\n Connection refused (os error 1)", "reached"),
        ("Generic S3 error\n Error performing GET x\n operation timed out", "in time"),
        ("Generic S3 error\n Error performing GET x\n invalid peer certificate\n UnknownIssuer", "not trusted"),
        ("Generic S3 error\n Error performing GET x\n a new kind of fault", "a new kind of fault"),
    ],
)
def test_an_error_of_a_client_says_what_is_wrong_and_what_to_do(text: str, words: str) -> None:
    found = trouble(text)
    assert found is not None
    assert words in found.words
    assert found.hint
    assert "\n" not in found.words
    assert "\x1b" not in found.words


def test_an_error_that_is_not_about_s3_is_left_alone() -> None:
    assert trouble("Schema error: a column of 403 Forbidden things") is None
