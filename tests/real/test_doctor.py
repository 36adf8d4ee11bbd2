"""`headwater doctor` on real engines that are well, and broken in one way each: the fault is named, with what to do."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bus.kafka.admin import Admin
from bus.kafka.check import apply_missing
from bus.kafka.config import cluster_of
from bus.topics import Change, Topic
from contracts.messages import Kind
from contracts.settings import Settings, load_settings
from lakehouse import open_hot
from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import ports
from scripts.engines import s3 as s3_engine
from scripts.engines.kafka import Kafka
from scripts.engines.node import Node
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests.conftest import needs
from tests.headwater.processes import headwater
from tests.real.pointing import environment_of, settings_of
from tests.waiting import until

Found = dict[str, str]


def name() -> str:
    return f"d{uuid.uuid4().hex[:12]}"


def doctor(folder: Path, settings: dict[str, Any]) -> dict[str, Found]:
    """Findings by check."""
    done = headwater(folder, "doctor", "--json", "--port", "0", env=environment_of(settings))
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Found] = json.loads(done.stdout)
    assert done.returncode == any(each["level"] == "fail" for each in found.values())
    return found


def says(found: Found, level: str, *words: str) -> None:
    """Level, words of the finding, and that there is something to do when not all is well."""
    text = f"{found['finding']} -> {found['advice']}"
    assert found["level"] == level, text
    assert not [word for word in words if word not in text], text
    assert level == "ok" or found["advice"], text


@contextlib.contextmanager
def paused(node: Node) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


def loaded(settings: dict[str, Any], folder: Path) -> Settings:
    return load_settings(_env_file=None, data_dir=folder / "data", **settings)


def with_indexes(settings: dict[str, Any], folder: Path) -> None:
    """Templates and the index of states, as the start of a flow makes them."""
    given = loaded(settings, folder)
    store = open_hot(given.hot, given)
    store.writer(Kind.LOGS).close()
    store.close()


def test_three_sound_engines_are_all_well(kafka: Kafka, opensearch: OpenSearch, s3: S3, tmp_path: Path) -> None:
    settings = settings_of(kafka, opensearch, s3)
    found = doctor(tmp_path, settings)
    says(found["bus"], "ok", "1 broker", "0 topics yet")
    says(found["hot store"], "ok", "OpenSearch 2.19.1, 1 node", "no indexes yet")
    says(found["lake"], "ok", "0 rows", "one winner each", s3.endpoint)

    apply_missing(settings["bus_url"], loaded(settings, tmp_path))
    with_indexes(settings, tmp_path)
    found = doctor(tmp_path, settings)
    says(found["bus"], "ok", "5 topics, all replicas in sync")
    says(found["hot store"], "ok", "green")


def test_engines_that_nobody_started_are_named_with_their_setting(tmp_path: Path) -> None:
    port = ports.free(1)[0]
    settings = {
        "bus_url": f"kafka://127.0.0.1:{port}",
        "hot_url": f"opensearch://127.0.0.1:{port}",
        "lake_url": "s3://bucket/lake",
        "s3_endpoint": f"http://127.0.0.1:{port}",
        "s3_access_key": "a",
        "s3_secret_key": "b",
    }
    found = doctor(tmp_path, settings)
    says(found["bus"], "fail", f"127.0.0.1:{port}: connection refused", "HEADWATER_BUS_URL")
    says(found["hot store"], "fail", f"127.0.0.1:{port} cannot be reached", "refused", "HEADWATER_HOT_URL")
    says(found["lake"], "fail", "cannot be reached", "HEADWATER_S3_ENDPOINT")


def test_engines_that_say_nothing_are_named(kafka: Kafka, opensearch: OpenSearch, s3: S3, tmp_path: Path) -> None:
    settings = settings_of(kafka, opensearch, s3)
    with paused(kafka.nodes[0]), paused(opensearch.node), paused(s3.node):
        found = doctor(tmp_path, settings)
    says(found["bus"], "fail", "does not answer", "broker's log")
    says(found["hot store"], "fail", "did not answer within")
    says(found["lake"], "fail", "does not answer in time")


class TestKafka:
    def test_topics_that_are_missing_or_not_as_declared_are_named(self, kafka: Kafka, tmp_path: Path) -> None:
        settings = settings_of(kafka)
        given = loaded(settings, tmp_path)
        with contextlib.closing(Admin(cluster_of(given.bus, given))) as admin:
            admin.create("logs.raw", Topic(partitions=8, replication=1, min_insync=1))
            admin.create("metrics.raw", Topic(partitions=4, replication=1, min_insync=1, retention_mib=8192))
            admin.apply(Change("metrics.raw", "", configs={"retention.ms": "1000"}))
            admin.settle()
        found = doctor(tmp_path, settings)["bus"]
        says(found, "warn", "missing: ", "events.raw", "headwater topics apply")
        says(found, "warn", "logs.raw is not as declared: it has 8 partitions", "HEADWATER_BUS_PARTITIONS=8")
        says(found, "warn", "metrics.raw is not as declared: retention.ms: 1000 -> ")
        found = doctor(tmp_path, {**settings, "bus_topics_apply": "false"})["bus"]
        says(found, "fail", "missing: ", "events.raw", "HEADWATER_BUS_TOPICS_APPLY")

    def test_a_broker_that_is_lost_is_named_with_what_can_no_longer_be_written(self, tmp_path: Path) -> None:
        needs(kafka_engine)
        with kafka_engine.running(brokers=3, home=tmp_path / "kafka") as cluster:
            settings = settings_of(cluster)
            given = loaded(settings, tmp_path)
            apply_missing(given.bus, given)
            with contextlib.closing(Admin(cluster_of(given.bus, given))) as admin:
                admin.apply(Change("events.raw", "", configs={"min.insync.replicas": "3"}))
            until(cluster.in_sync, "every copy being made")
            cluster.nodes[2].kill()
            gone = cluster.bootstrap.split(",")[2]
            until(lambda: not cluster.in_sync(), "the quorum giving up the broker")
            found = doctor(tmp_path, settings)["bus"]
        says(found, "fail", f"{gone} of HEADWATER_BUS_URL cannot be reached", "start that broker")
        says(found, "fail", "fewer replicas in sync than min.insync.replicas", "events.raw (partition 0 1)")
        says(found, "fail", "a replica is behind", "logs.raw (partition 0 1 2 3)")

    def test_a_refused_log_in_is_named_and_another_protocol_too(self, tmp_path: Path) -> None:
        needs(kafka_engine)
        with _with_log_in(tmp_path / "kafka") as servers:
            settings = {"bus_url": f"kafka://{servers}"}
            log_in = {"bus_security_protocol": "sasl_plaintext", "bus_sasl_mechanism": "PLAIN", "bus_sasl_user": "ann"}
            good = doctor(tmp_path, {**settings, **log_in, "bus_sasl_password": "right"})
            bad = doctor(tmp_path, {**settings, **log_in, "bus_sasl_password": "wrong"})
            none = doctor(tmp_path, settings)
        says(good["bus"], "ok", "1 broker")
        says(bad["bus"], "fail", "refused the log-in", "HEADWATER_BUS_SASL_PASSWORD")
        says(none["bus"], "fail", "HEADWATER_BUS_SECURITY_PROTOCOL")


@contextlib.contextmanager
def _with_log_in(home: Path) -> Iterator[str]:
    """A broker with a further listener that wants ann's password, and its host:port."""
    plain, control, guarded = ports.free(3)
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{control},GUARDED://127.0.0.1:{guarded}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},GUARDED://127.0.0.1:{guarded}",
        "controller.quorum.voters": f"1@127.0.0.1:{control}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.guarded.plain.sasl.jaas.config": f'{module} user_ann="right";',
    }
    with kafka_engine.running(home=home, port=plain, settings=settings):
        yield f"127.0.0.1:{guarded}"


class TestOpenSearch:
    def test_an_index_at_the_flood_stage_is_named(self, opensearch: OpenSearch, tmp_path: Path) -> None:
        settings = settings_of(opensearch)
        with_indexes(settings, tmp_path)
        index = f"{settings['opensearch_prefix']}-state"
        body = {"index.blocks.read_only_allow_delete": True}
        httpx.put(f"{opensearch.endpoint}/{index}/_settings", json=body).raise_for_status()
        says(doctor(tmp_path, settings)["hot store"], "fail", "flood stage", index, "free disk space")

    def test_a_red_index_and_an_index_of_others_are_named(self, opensearch: OpenSearch, tmp_path: Path) -> None:
        settings = settings_of(opensearch)
        with_indexes(settings, tmp_path)
        index = f"{settings['opensearch_prefix']}-others-2026.11.24"
        nowhere = {"index.number_of_replicas": 0, "index.routing.allocation.require._name": "nobody"}
        url = f"{opensearch.endpoint}/{index}"
        httpx.put(url, params={"wait_for_active_shards": "0"}, json={"settings": nowhere}).raise_for_status()
        try:
            found = doctor(tmp_path, settings)["hot store"]
        finally:
            httpx.delete(url).raise_for_status()
        says(found, "fail", f"red, no node serves a shard of: {index}", "_cluster/allocation/explain")
        says(found, "fail", f'index "{index}" has a mapping that is not ours', "delete or rename it")

    def test_templates_of_a_later_version_of_others_and_missing_ones_are_named(
        self, opensearch: OpenSearch, tmp_path: Path
    ) -> None:
        settings = settings_of(opensearch)
        with_indexes(settings, tmp_path)
        prefix = settings["opensearch_prefix"]
        with httpx.Client(base_url=f"{opensearch.endpoint}/_index_template") as client:
            later = client.get(f"/{prefix}-logs").json()["index_templates"][0]["index_template"]
            client.put(f"/{prefix}-logs", json={**later, "version": 1_000_000}).raise_for_status()
            client.put(f"/{prefix}-events", json={"index_patterns": [f"{prefix}-events-*"]}).raise_for_status()
            client.delete(f"/{prefix}-metrics").raise_for_status()
        found = doctor(tmp_path, settings)["hot store"]
        says(found, "fail", f'template "{prefix}-logs" is version 1000000', "upgrade this process")
        says(found, "fail", f'"{prefix}-events" that Headwater did not make', "HEADWATER_OPENSEARCH_PREFIX")
        says(found, "fail", f"templates are missing or differ from ours: {prefix}-metrics", "restart the flow")

    def test_an_engine_without_tls_asked_by_tls_is_named(self, opensearch: OpenSearch, tmp_path: Path) -> None:
        settings = {"hot_url": opensearch.url.replace("opensearch", "opensearchs")}
        says(doctor(tmp_path, settings)["hot store"], "fail", "cannot be reached", "SSL")


class TestS3:
    def test_a_wrong_key_and_a_missing_bucket_are_named(self, s3: S3, tmp_path: Path) -> None:
        settings = settings_of(s3)
        found = doctor(tmp_path, {**settings, "s3_secret_key": "wrong"})["lake"]
        says(found, "fail", "does not accept the secret key", "HEADWATER_S3_SECRET_KEY")
        found = doctor(tmp_path, {**settings, "s3_access_key": "nobody"})["lake"]
        says(found, "fail", "does not know the access key", "HEADWATER_S3_ACCESS_KEY")
        found = doctor(tmp_path, {**settings, "lake_url": f"s3://{name()}/lake"})["lake"]
        says(found, "fail", "the bucket does not exist", "HEADWATER_LAKE_URL")

    def test_a_bucket_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        needs(s3_engine)
        with s3_engine.running(home=tmp_path / "s3") as engine:
            bucket = tmp_path / "s3" / "data" / "headwater"
            (bucket / "lake").write_text("in the way of every key of the lake")
            found = doctor(tmp_path, settings_of(engine))["lake"]
        says(found, "fail", "cannot be written")


@pytest.mark.parametrize("engine", [kafka_engine, opensearch_engine, s3_engine], ids=["kafka", "opensearch", "s3"])
def test_an_engine_that_was_killed_is_named_and_well_again_after_its_start(engine: Any, tmp_path: Path) -> None:
    needs(engine)
    check = {kafka_engine: "bus", opensearch_engine: "hot store", s3_engine: "lake"}[engine]
    with engine.running(home=tmp_path / "engine") as running:
        settings = settings_of(running)
        node = running.nodes[0] if engine is kafka_engine else running.node
        node.kill()
        says(doctor(tmp_path, settings)[check], "fail", "cannot be reached")
        node.start()
        says(doctor(tmp_path, settings)[check], "ok")
