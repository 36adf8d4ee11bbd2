"""`headwater up` and `headwater status` on real engines: what is where is said; what is away is waited for and used."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import ports
from scripts.engines.kafka import Kafka
from scripts.engines.s3 import S3
from tests.conftest import needs
from tests.headwater.platform import Platform
from tests.headwater.processes import headwater, output, started
from tests.real.pointing import environment_of, settings_of
from tests.waiting import until

UP = ("-m", "headwater", "up", "--no-batch", "--port", "0", "--data-dir")


def test_what_is_where_is_said_and_status_accounts_with_and_without_a_running_service(
    kafka: Kafka, s3: S3, tmp_path: Path
) -> None:
    needs(opensearch_engine)
    run = f"u{uuid.uuid4().hex[:12]}"
    data = str(tmp_path / "data")
    with opensearch_engine.running(home=tmp_path / "opensearch") as own:
        env = environment_of({**settings_of(kafka, own, s3, run=run), "lake_commit_s": "1"})
        with started(tmp_path, *UP, data, env=env) as process:
            up = Platform(tmp_path, process)
            told = output(tmp_path)
            for words in (
                f"bus        Kafka at {kafka.bootstrap}, topics {run}.logs.raw …: made logs.raw",
                f"hot store  {own.url}, indexes {run}-…: OpenSearch 2.19.1",
                f"lake       {s3.url}/{run} at {s3.endpoint}: it loses no commits",
            ):
                assert words in told
            up.send([{"body": f"hello {number}"} for number in range(100)], "1")
            until(lambda: up.has(100), "every record being stored")
            running = headwater(tmp_path, "status", "--data-dir", data, env=env)
        stopped = headwater(tmp_path, "status", "--json", "--data-dir", data, env=env)
        own.node.kill()
        broken = headwater(tmp_path, "status", "--data-dir", data, env=env)

    assert running.returncode == 0, running.stdout + running.stderr
    assert "1 batch of logs" in running.stdout
    assert "every record is accounted for" in running.stdout
    facts = json.loads(stopped.stdout)
    (logs,) = [entry for entry in facts["accounts"] if entry["kind"] == "logs"]
    assert (logs["received"], logs["visible"], logs["difference"]) == (100, 100, 0)
    assert (facts["accounts_from"], facts["unreadable"]) == ("the stores", {})
    assert broken.returncode == 1
    assert "the hot store cannot be read" in broken.stdout
    assert "1 batch of logs" in broken.stdout


def test_engines_that_come_after_the_start_are_waited_for_and_used(tmp_path: Path) -> None:
    needs(kafka_engine, opensearch_engine)
    bus_port, hot_port = ports.free(2)
    env = {
        "HEADWATER_BUS_URL": f"kafka://127.0.0.1:{bus_port}",
        "HEADWATER_HOT_URL": f"opensearch://127.0.0.1:{hot_port}",
        "HEADWATER_LAKE_COMMIT_S": "1",
    }
    with started(tmp_path, *UP, str(tmp_path / "data"), env=env) as process:
        until(lambda: "starting without the hot store" in output(tmp_path), "a start without them")
        told = output(tmp_path)
        assert "waiting for the bus: " in told
        assert f"127.0.0.1:{bus_port}: connection refused" in told
        assert "records are refused (503) until it is there" in told
        with (
            opensearch_engine.running(home=tmp_path / "opensearch", port=hot_port),
            kafka_engine.running(home=tmp_path / "kafka", port=bus_port),
        ):
            up = Platform(tmp_path, process)
            up.send([{"body": "late"}], "1")
            until(lambda: up.has(1), "the record being stored", 60)
            assert up.bodies() == ["late"]
            process.terminate()
            assert process.wait(15) == 0
