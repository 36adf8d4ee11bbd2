"""How brokers are reached: what the settings become, and what is refused by name before anything connects."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from bus import open_bus
from bus.kafka.config import Cluster, admin_options, cluster_of, producer_options, reader_options
from bus.kafka.errors import Rare, bus_error
from contracts.errors import BusError, ConfigError
from tests.settings import settings


def cluster(url: str = "kafka://a:1", **values: Any) -> Cluster:
    return cluster_of(url, settings(**values))


def test_a_url_names_servers_and_maybe_a_prefix_of_topics() -> None:
    plain = cluster("kafka://one:19092, two,[::1]:7")
    assert (plain.servers, plain.topic("logs.raw")) == ("one:19092,two:9092,[::1]:7", "logs.raw")
    assert cluster("kafka://one/blue").topic("logs.raw") == "blue.logs.raw"
    assert cluster("kafka://one/blue.").topic("logs.raw") == "blue.logs.raw"


@pytest.mark.parametrize(
    "url", ["kafka://", "kafka:///x", "kafka://a b", "kafka://a:x", "kafka://a/b/c", "kafka://u:p@a:1"]
)
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_bus(url, settings())
    assert "HEADWATER_BUS_URL" in caught.value.hint


def test_an_append_is_durable_on_all_in_sync_copies_by_configuration() -> None:
    options = producer_options(cluster(ingest_bus_timeout_s=50))
    assert (options["acks"], options["enable.idempotence"], options["delivery.timeout.ms"]) == ("all", True, 50_000)


def test_a_reader_never_jumps_by_itself_and_never_commits() -> None:
    options = reader_options(cluster(bus_group="g"))
    assert (options["auto.offset.reset"], options["enable.auto.commit"]) == ("error", False)
    assert (options["enable.auto.offset.store"], options["group.id"]) == (False, "g")


def test_tls_and_log_in_reach_both_clients(tmp_path: Path) -> None:
    names = {name: tmp_path / f"{name}.pem" for name in ("ca", "certificate", "key")}
    for path in names.values():
        path.touch()
    files: dict[str, Any] = {f"bus_tls_{name}": path for name, path in names.items()}
    made = cluster(
        bus_security_protocol="sasl_ssl",
        bus_sasl_mechanism="SCRAM-SHA-256",
        bus_sasl_user="me",
        bus_sasl_password="secret",
        **files,
    )
    expected = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "me",
        "sasl.password": "secret",
        "ssl.ca.location": str(names["ca"]),
        "ssl.certificate.location": str(names["certificate"]),
        "ssl.key.location": str(names["key"]),
    }
    for options in (producer_options(made), reader_options(made)):
        assert expected.items() <= options.items()
    assert {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
        "ssl_cafile": str(names["ca"]),
        "ssl_certfile": str(names["certificate"]),
        "ssl_keyfile": str(names["key"]),
    }.items() <= admin_options(made).items()


def test_without_tls_and_log_in_none_of_it_is_sent() -> None:
    for options in (producer_options(cluster()), reader_options(cluster()), admin_options(cluster())):
        assert not [name for name in options if name.startswith(("sasl", "ssl"))]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"bus_security_protocol": "sasl_ssl"}, "HEADWATER_BUS_SASL_USER"),
        ({"bus_security_protocol": "sasl_ssl", "bus_sasl_user": "me"}, "HEADWATER_BUS_SASL_PASSWORD"),
        ({"bus_sasl_user": "me", "bus_sasl_password": "x"}, "HEADWATER_BUS_SECURITY_PROTOCOL"),
        ({"bus_tls_ca": "/none"}, "HEADWATER_BUS_TLS_CA"),
        ({"bus_security_protocol": "ssl", "bus_tls_ca": "/none"}, "HEADWATER_BUS_TLS_CA"),
        ({"bus_security_protocol": "ssl", "bus_tls_key": __file__}, "HEADWATER_BUS_TLS_CERTIFICATE"),
        ({"bus_security_protocol": "ssl", "bus_tls_ca": __file__}, "HEADWATER_BUS_TLS_CA"),  # no certificate in there
        ({"bus_kafka_options": "a b"}, "HEADWATER_BUS_KAFKA_OPTIONS"),
        ({"bus_kafka_options": "no.such.option=1"}, "HEADWATER_BUS_KAFKA_OPTIONS"),
        ({"bus_kafka_options": "linger.ms=never"}, "HEADWATER_BUS_KAFKA_OPTIONS"),
    ],
)
def test_a_setting_that_cannot_work_is_named(values: Mapping[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        open_bus("kafka://127.0.0.1:1", settings(**values))


def test_a_password_is_in_no_message() -> None:
    values = {"bus_security_protocol": "sasl_plaintext", "bus_sasl_user": "me", "bus_sasl_password": "hush"}
    with contextlib.closing(open_bus("kafka://127.0.0.1:1", settings(**values))) as bus:
        with pytest.raises(BusError) as caught:
            bus.append("t", "k", (), timeout_s=0.1)
        assert "hush" not in str(caught.value) + caught.value.hint


def test_further_options_win_over_ours() -> None:
    made = cluster(bus_kafka_options="linger.ms=77  fetch.wait.max.ms=9")
    assert producer_options(made)["linger.ms"] == "77"
    assert reader_options(made)["fetch.wait.max.ms"] == "9"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "headwater topics apply"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "max.message.bytes"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "HEADWATER_BUS_SASL_USER"),
        (KafkaError._AUTHENTICATION, "HEADWATER_BUS_SASL_PASSWORD"),
        (KafkaError._SSL, "HEADWATER_BUS_TLS_CA"),
        (KafkaError._ALL_BROKERS_DOWN, "HEADWATER_BUS_URL"),
    ],
)
def test_an_error_says_what_to_do(code: int, named: str) -> None:
    assert named in bus_error(KafkaError(code), "Kafka at a:1").hint


def test_the_clients_log_says_the_same_at_most_every_ten_seconds_and_how_often_it_did_not() -> None:
    now_s = 0.0
    rare = Rare(lambda: now_s)

    def said(kind: str) -> str:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s %s", (kind, "text"), None)
        return record.getMessage() if rare.filter(record) else ""

    assert [said("FAIL"), said("FAIL"), said("GETPID"), said("FAIL")] == ["FAIL text", "", "GETPID text", ""]
    now_s = 10.0
    assert said("FAIL") == "FAIL text (2 more like it)"
    assert said("FAIL") == ""


def test_a_message_waits_for_company_only_when_told_to() -> None:
    assert producer_options(cluster())["linger.ms"] == 0
    assert producer_options(cluster(bus_group_commit_ms=7))["linger.ms"] == 7
