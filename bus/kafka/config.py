"""Settings and a `kafka://` URL -> options of librdkafka and of the administration client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.settings import MIB, Settings

URL_HINT = "use kafka://host:9092,host:9092 in HEADWATER_BUS_URL; add /prefix for topics named prefix.logs.raw …"
DEFAULT_PORT = 9092
ANSWER_MS = 10_000  # a client that gets no answer for so long turns to another broker
DELIVERY_MS = 30_000  # longer than a request's own deadline: a broker that returns soon still gets the messages
QUEUE_KIB = 2048  # most that one reader fetches ahead
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}\Z")

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """`servers`: host:port, by commas. `prefix`: put before each topic's name, "" or ending with a full stop."""

    servers: str
    prefix: str
    settings: Settings

    def topic(self, topic: str) -> str:
        return self.prefix + topic

    @property
    def shown(self) -> str:
        return f"Kafka at {self.servers}"


def cluster_of(url: str, settings: Settings) -> Cluster:
    """Parse `url` and check the settings for Kafka.

    Raises:
        ConfigError: A setting cannot work; the message names it.
    """
    servers, _, prefix = url.removeprefix("kafka://").partition("/")
    names = [server.strip() for server in servers.split(",")]
    if not all(_SERVER.match(name) for name in names) or not _PREFIX.match(prefix):
        raise ConfigError(f'bus URL "{url}" is not valid', hint=URL_HINT)
    _check(settings)
    listed = ",".join(name if re.search(r":[0-9]+\Z", name) else f"{name}:{DEFAULT_PORT}" for name in names)
    return Cluster(listed, f"{prefix.rstrip('.')}." if prefix else "", settings)


def _check(settings: Settings) -> None:
    protocol = settings.bus_security_protocol
    password = settings.bus_sasl_password.get_secret_value()
    if protocol.startswith("sasl_"):
        for name, value in (("BUS_SASL_USER", settings.bus_sasl_user), ("BUS_SASL_PASSWORD", password)):
            if not value:
                raise ConfigError(f"HEADWATER_{name} is empty, but {protocol} needs it", hint="see docs/settings.md")
    elif settings.bus_sasl_user or password:
        raise ConfigError(
            f"HEADWATER_BUS_SASL_USER is set, but HEADWATER_BUS_SECURITY_PROTOCOL={protocol} does not send it",
            hint="set HEADWATER_BUS_SECURITY_PROTOCOL to sasl_ssl (or sasl_plaintext)",
        )
    for name, path in _tls_files(settings).items():
        if not protocol.endswith("ssl"):
            raise ConfigError(
                f"{name} is set, but HEADWATER_BUS_SECURITY_PROTOCOL={protocol} does not use TLS",
                hint="set HEADWATER_BUS_SECURITY_PROTOCOL to ssl or sasl_ssl",
            )
        if not path.expanduser().is_file():
            raise ConfigError(f'{name}: file "{path}" does not exist', hint="give the path of a PEM file")
    if (settings.bus_tls_certificate is None) != (settings.bus_tls_key is None):
        raise ConfigError("only one of HEADWATER_BUS_TLS_CERTIFICATE and HEADWATER_BUS_TLS_KEY is set", hint="set both")


def _tls_files(settings: Settings) -> dict[str, Path]:
    files = {
        "HEADWATER_BUS_TLS_CA": settings.bus_tls_ca,
        "HEADWATER_BUS_TLS_CERTIFICATE": settings.bus_tls_certificate,
        "HEADWATER_BUS_TLS_KEY": settings.bus_tls_key,
    }
    return {name: path for name, path in files.items() if path is not None}


def _connection(cluster: Cluster) -> Options:
    settings = cluster.settings
    options: Options = {
        "bootstrap.servers": cluster.servers,
        "client.id": "headwater",
        "security.protocol": settings.bus_security_protocol,
        "socket.timeout.ms": ANSWER_MS,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.propagation.max.ms": 2000,  # for so long a new topic may be unknown to a broker
    }
    if settings.bus_security_protocol.startswith("sasl_"):
        options |= {
            "sasl.mechanism": settings.bus_sasl_mechanism,
            "sasl.username": settings.bus_sasl_user,
            "sasl.password": settings.bus_sasl_password.get_secret_value(),
        }
    named = {"CA": "ssl.ca.location", "CERTIFICATE": "ssl.certificate.location", "KEY": "ssl.key.location"}
    for name, path in _tls_files(settings).items():
        options[named[name.rsplit("_", 1)[1]]] = str(path.expanduser())
    return options


def _further(settings: Settings) -> Options:
    options: Options = {}
    for word in settings.bus_kafka_options.split():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ConfigError(
                f'HEADWATER_BUS_KAFKA_OPTIONS: "{word}" is not name=value', hint="separate options by spaces"
            )
        options[name] = value
    return options


def producer_options(cluster: Cluster) -> Options:
    """Durable on every in-sync copy, in order. No compression: payloads are compressed already."""
    settings = cluster.settings
    return {
        **_connection(cluster),
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "none",
        # Concurrent requests share a batch anyway. With a wait an append took 4 ms and more CPU, without one 0.4 ms.
        "linger.ms": settings.bus_group_commit_ms if "bus_group_commit_ms" in settings.model_fields_set else 0,
        "delivery.timeout.ms": max(DELIVERY_MS, int(settings.ingest_bus_timeout_s * 1000)),
        "request.timeout.ms": ANSWER_MS,
        "message.max.bytes": 1_000_000_000,  # the topic's own limit decides
        "queue.buffering.max.kbytes": settings.ingest_buffer_mib * (MIB >> 10),
        **_further(settings),
    }


def reader_options(cluster: Cluster) -> Options:
    """One partition at explicit offsets. librdkafka requires a group name, but the reader joins no group."""
    return {
        **_connection(cluster),
        "group.id": cluster.settings.bus_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 500,
        "fetch.message.max.bytes": MIB,
        "fetch.max.bytes": 4 * MIB,
        "fetch.error.backoff.ms": 100,
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 1000,
        "queued.max.messages.kbytes": QUEUE_KIB,
        "log_level": 2,  # failures also arrive as events
        **_further(cluster.settings),
    }


def identity_options(cluster: Cluster) -> Options:
    """For a client that asks for the ids of topics."""
    return {**_connection(cluster), "log_level": 2, **_further(cluster.settings)}


def admin_options(cluster: Cluster) -> Options:
    """For `kafka.KafkaAdminClient`."""
    settings = cluster.settings
    options: Options = {
        "bootstrap_servers": cluster.servers.split(","),
        "client_id": "headwater-admin",
        "security_protocol": settings.bus_security_protocol.upper(),
        "request_timeout_ms": ANSWER_MS,
        "bootstrap_timeout_ms": 5000,
    }
    if settings.bus_security_protocol.startswith("sasl_"):
        options |= {
            "sasl_mechanism": settings.bus_sasl_mechanism,
            "sasl_plain_username": settings.bus_sasl_user,
            "sasl_plain_password": settings.bus_sasl_password.get_secret_value(),
        }
    named = {"CA": "ssl_cafile", "CERTIFICATE": "ssl_certfile", "KEY": "ssl_keyfile"}
    for name, path in _tls_files(settings).items():
        options[named[name.rsplit("_", 1)[1]]] = str(path.expanduser())
    return options
