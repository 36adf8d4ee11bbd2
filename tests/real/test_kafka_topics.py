"""`headwater topics` on a real cluster."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from bus.kafka.admin import Admin
from bus.kafka.config import cluster_of
from bus.topics import Change
from contracts.errors import BusError
from contracts.settings import Settings, load_settings
from headwater.commands.topics import apply, show
from scripts.engines.kafka import Kafka
from tests.real.kafka_topics import Topics

NAMES = ["logs.raw", "metrics.raw", "events.raw", "traces.raw", "dead_letters"]


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


def settings(topics: Topics, **values: Any) -> Settings:
    return load_settings(_env_file=None, bus_url=topics.url, **values)


def shown(topics: Topics, capsys: pytest.CaptureFixture[str], **values: Any) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert show(settings(topics, **values), as_json=True) == 0
    return {topic["topic"]: topic for topic in json.loads(capsys.readouterr().out)}


def test_topics_are_made_as_declared_and_a_second_time_nothing_is_to_do(
    topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(settings(topics), dry_run=True) == 0
    assert not any(topic["exists"] for topic in shown(topics, capsys).values())

    assert apply(settings(topics), dry_run=False) == 0

    made = shown(topics, capsys)
    assert list(made) == NAMES
    assert all(topic["as_declared"] for topic in made.values())
    assert [len(topic["partitions"]) for topic in made.values()] == [4, 4, 2, 4, 2]
    assert apply(settings(topics), dry_run=False) == 0
    assert "as declared" in capsys.readouterr().out


def test_what_exists_is_brought_up_and_what_it_holds_stays(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    topics.create("logs.raw", partitions=1, retention_ms="1000000", max_message_bytes="1000000", segment_ms="999999")
    from contracts.messages import Message

    with topics.bus() as bus:
        bus.append("logs.raw", "k", [Message(b"x" * 10_000)])

    assert apply(settings(topics, bus_retention_h=2), dry_run=False) == 0

    logs = shown(topics, capsys, bus_retention_h=2)["logs.raw"]
    assert (logs["as_declared"], logs["retention_h"], len(logs["partitions"])) == (True, 2, 4)
    assert logs["size_bytes"] > 10_000
    assert (logs["partitions"][0]["first_offset"], logs["partitions"][0]["next_offset"]) == (0, 1)


@pytest.mark.parametrize("values", [{"bus_partitions": 2}, {"bus_replication": 3}])
def test_when_one_difference_cannot_be_applied_nothing_is_touched(
    topics: Topics, capsys: pytest.CaptureFixture[str], values: dict[str, Any]
) -> None:
    topics.create("logs.raw", partitions=3, retention_ms="1000000")
    before = shown(topics, capsys)

    assert apply(settings(topics, **values), dry_run=False) == 2

    told = capsys.readouterr().out
    assert "nothing was changed" in told
    assert "HEADWATER_BUS_" in told
    after = shown(topics, capsys)
    assert after == before
    assert [name for name in NAMES if after[name]["exists"]] == ["logs.raw"]


def test_a_topic_is_made_by_its_first_use_as_it_is_declared(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    with topics.bus() as bus:
        assert list(bus.partitions("dead_letters")) == [0, 1]
    made = shown(topics, capsys)
    assert [name for name in NAMES if made[name]["exists"]] == ["dead_letters"]
    assert made["dead_letters"]["as_declared"]
    assert made["dead_letters"]["compression"] == "zstd"


def test_fewer_partitions_than_declared_are_said_and_used(topics: Topics, caplog: pytest.LogCaptureFixture) -> None:
    topics.create("logs.raw", partitions=1)
    with topics.bus() as bus:
        assert list(bus.partitions("logs.raw")) == [0]
    assert "has 1 partitions, 4 are declared: run headwater topics apply" in caplog.text


@pytest.mark.parametrize(
    ("topic", "configs", "told"),
    [
        ("logs.raw", {"no.such.setting": "1"}, "no.such.setting"),
        ("logs.raw", {"retention.ms": "soon"}, "soon"),
        ("not.there", {"retention.ms": "1000"}, "UnknownTopicOrPartition"),
    ],
)
def test_a_setting_that_the_brokers_refuse_is_an_error(
    topics: Topics, topic: str, configs: dict[str, str], told: str
) -> None:
    topics.create("logs.raw", partitions=1)
    admin = Admin(cluster_of(topics.url, settings(topics)))
    with contextlib.closing(admin), pytest.raises(BusError, match=re.escape(told)):
        admin.apply(Change(topic, "", configs=configs))
