"""Engines for tests: each starts, answers, keeps data through a kill, says why it failed, and is gone at the end."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import s3 as s3_engine
from scripts.engines.node import EngineError, Node
from tests.conftest import needs

ROOT = Path(__file__).resolve().parents[2]
QUIET = logging.getLogger("tests.real.kafka_clients")  # a broker that was killed on purpose is no news
QUIET.disabled = True


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether the process is gone before long."""
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


# Kafka


def make_topic(bootstrap: str, topic: str, replicas: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "logger": QUIET})
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=replicas)])[topic].result(30)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "logger": QUIET})
    errors: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error) if error else None)
    assert producer.flush(60) == 0
    assert not errors


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` messages of all partitions, sorted."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "logger": QUIET})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
        values: list[bytes] = []
        deadline = time.monotonic() + 60
        while len(values) < count and time.monotonic() < deadline:
            values += [
                message.value() or b"" for message in consumer.consume(count, timeout=0.5) if not message.error()
            ]
        return sorted(values)
    finally:
        consumer.close()


def numbered(first: int, after: int) -> list[bytes]:
    return [b"%04d" % number for number in range(first, after)]


def test_three_brokers_serve_on_when_one_is_killed_and_keep_all_when_all_are(tmp_path: Path) -> None:
    needs(kafka_engine)
    with kafka_engine.running(brokers=3, home=tmp_path) as cluster:
        make_topic(cluster.bootstrap, "t", replicas=3)
        produce(cluster.bootstrap, "t", numbered(0, 100))
        cluster.nodes[0].kill()
        produce(cluster.bootstrap, "t", numbered(100, 200))
        assert consume(cluster.bootstrap, "t", 200) == numbered(0, 200)

        cluster.nodes[0].start()
        returned = cluster.bootstrap.split(",")[0]
        assert consume(returned, "t", 200) == numbered(0, 200)
        while not cluster.in_sync():
            time.sleep(0.1)

        cluster.kill()
        cluster.start()
        assert consume(cluster.bootstrap, "t", 200) == numbered(0, 200)
        pids = [node.pid for node in cluster.nodes]
        assert all(map(is_alive, pids))

    assert not any(map(is_alive, pids))


def test_a_broker_that_is_killed_and_started_again_has_its_messages(kafka: kafka_engine.Kafka) -> None:
    make_topic(kafka.bootstrap, "engines-kept", replicas=1)
    produce(kafka.bootstrap, "engines-kept", numbered(0, 10))

    kafka.nodes[0].kill()
    kafka.nodes[0].start()

    assert consume(kafka.bootstrap, "engines-kept", 10) == numbered(0, 10)


def test_a_setting_that_kafka_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    needs(kafka_engine)
    with (
        pytest.raises(EngineError, match=r"Invalid value never for configuration .*heartbeat"),
        kafka_engine.running(home=tmp_path, settings={"broker.heartbeat.interval.ms": "never"}),
    ):
        pass


# OpenSearch


def ask(engine: opensearch_engine.OpenSearch, method: str, path: str, body: object = None) -> Any:
    port = int(engine.url.rpartition(":")[2])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    assert response.status < 300, answer
    return answer


def test_a_document_is_found_and_outlives_a_kill(opensearch: opensearch_engine.OpenSearch) -> None:
    ask(opensearch, "PUT", "/engines-kept", {"settings": {"number_of_replicas": 0}})
    ask(opensearch, "PUT", "/engines-kept/_doc/1?refresh=true", {"body": "the river rises"})
    question = {"query": {"match": {"body": "river"}}}
    assert ask(opensearch, "GET", "/engines-kept/_search", question)["hits"]["total"]["value"] == 1

    opensearch.node.kill()
    opensearch.node.start()

    assert ask(opensearch, "GET", "/engines-kept/_search", question)["hits"]["total"]["value"] == 1
    ask(opensearch, "DELETE", "/engines-kept")


def test_the_modules_that_searches_need_are_there(opensearch: opensearch_engine.OpenSearch) -> None:
    ask(opensearch, "PUT", "/engines-modules", {"settings": {"number_of_replicas": 0}})
    for number in range(4):
        ask(opensearch, "PUT", f"/engines-modules/_doc/{number}?refresh=true", {"n": number})
    script = {"lang": "painless", "source": "doc['n'].value * 2"}
    sums = {"doubled": {"sum": {"script": script}}, "half": {"percentiles": {"field": "n", "percents": [50]}}}
    answer = ask(opensearch, "GET", "/engines-modules/_search", {"size": 0, "aggs": sums})["aggregations"]
    removed = ask(opensearch, "POST", "/engines-modules/_delete_by_query", {"query": {"match_all": {}}})
    ask(opensearch, "DELETE", "/engines-modules")

    assert answer["doubled"]["value"] == 12
    assert answer["half"]["values"]["50.0"] == 1.5
    assert removed["deleted"] == 4


def test_a_broken_setting_of_opensearch_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    needs(opensearch_engine)
    with (
        pytest.raises(
            EngineError, match=r"ended before it was ready with exit code 1[\s\S]*unknown setting \[no.such\]"
        ),
        opensearch_engine.running(home=tmp_path, settings={"no.such": "setting"}),
    ):
        pass


def test_a_module_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(opensearch_engine)
    whole, sabotaged = opensearch_engine.install(), tmp_path / "sabotaged"
    (sabotaged / "lib").mkdir(parents=True)
    (sabotaged / "classes").symlink_to(whole / "classes")
    for jar in (whole / "lib").iterdir():
        if not jar.name.startswith("lang-painless-"):
            (sabotaged / "lib" / jar.name).symlink_to(jar)
    monkeypatch.setattr(opensearch_engine, "install", lambda: sabotaged)

    with (
        pytest.raises(EngineError, match=r"ClassNotFoundException: org.opensearch.painless.PainlessPlugin"),
        opensearch_engine.running(home=tmp_path),
    ):
        pass


# S3


@contextmanager
def s3_client(engine: s3_engine.S3) -> Iterator[Any]:
    environment = engine.environment
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    with closing(client):
        yield client


def test_an_object_is_got_as_it_was_put_and_outlives_a_kill(s3: s3_engine.S3) -> None:
    with s3_client(s3) as client:
        client.put_object(Bucket="headwater", Key="engines/kept", Body=b"content")

        s3.node.kill()
        s3.node.start()

        assert client.get_object(Bucket="headwater", Key="engines/kept")["Body"].read() == b"content"
        client.delete_object(Bucket="headwater", Key="engines/kept")


def answers(engine: s3_engine.S3) -> bool:
    with closing(http.client.HTTPConnection(engine.endpoint.removeprefix("http://"), timeout=0.5)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status > 0
        except OSError:
            return False


def test_a_paused_engine_answers_nobody_until_it_is_resumed(tmp_path: Path) -> None:
    needs(s3_engine)
    with s3_engine.running(home=tmp_path) as engine:
        engine.node.pause()
        assert not answers(engine)
        engine.node.resume()
        assert answers(engine)
        engine.node.pause()

    assert not is_alive(engine.node.pid)


def test_an_engine_started_from_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    needs(s3_engine)
    with s3_engine.running(home=tmp_path) as engine:
        engine.node.kill()
        thread = threading.Thread(target=engine.node.start)
        thread.start()
        thread.join()

        assert answers(engine)


ORPHAN = """
import sys, time
from pathlib import Path
from scripts.engines import s3
with s3.running(home=Path(sys.argv[1])) as engine:
    engine.node.pause()
    print(engine.node.pid, flush=True)
    time.sleep(600)
"""


def test_an_engine_even_a_paused_one_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    needs(s3_engine)
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()

    assert ends(pid)


def test_the_command_prints_what_to_export_and_stops_all_on_ctrl_c(tmp_path: Path) -> None:
    needs(s3_engine)
    command = [sys.executable, "-m", "scripts.engines", "up", "s3", "--home", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline().strip() for _ in range(7)]
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        engine = s3_engine.S3("", exported["AWS_ENDPOINT_URL"], Node("", [], log=tmp_path, is_ready=bool), exported)
        with s3_client(engine) as client:
            client.put_object(Bucket="headwater", Key="k", Body=b"content")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    assert exported["HEADWATER_LAKE_URL"] == "s3://headwater/lake"
    assert not answers(engine)


def test_an_engine_that_cannot_run_here_is_told_by_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "HEADWATER_ENGINES_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "scripts.engines", "up", "kafka"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "kafka cannot run here: no java and no mvn on the PATH" in done.stderr
