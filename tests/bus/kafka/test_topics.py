"""What is declared of topics, and the plan that brings a cluster up to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bus.topics import Change, Found, Topic, declared, plan, topic_named
from contracts.messages import Kind
from tests.settings import settings


def found(topic: Topic, **other: Any) -> Found:
    return replace(Found(topic.partitions, topic.replication, topic.configs()), **other)


def refusals(changes: Any) -> list[str]:
    return [change.topic for change in changes if change.refusal]


def test_every_kind_and_the_traces_have_a_topic() -> None:
    assert declared(settings(), 3).keys() == {kind.topic for kind in Kind} | {"traces.raw"}


def test_a_message_must_be_on_two_of_three_copies() -> None:
    for topic in declared(settings(), 3).values():
        assert (topic.replication, topic.min_insync) == (3, 2)
        assert topic.configs()["min.insync.replicas"] == "2"
        assert topic.configs()["message.timestamp.type"] == "LogAppendTime"


def test_a_smaller_cluster_gets_fewer_copies_and_can_lose_none_or_one() -> None:
    assert {(topic.replication, topic.min_insync) for topic in declared(settings(), 1).values()} == {(1, 1)}
    assert {(topic.replication, topic.min_insync) for topic in declared(settings(), 2).values()} == {(2, 1)}


def test_settings_win_over_the_file_only_when_they_are_given() -> None:
    plain = declared(settings(), 3)["logs.raw"]
    assert (plain.partitions, plain.retention_h, plain.retention_mib) == (4, 72, 16384)
    given = declared(settings(bus_partitions=6, bus_retention_h=1.5, bus_retention_mib=60, bus_replication=2), 3)
    topic = given["logs.raw"]
    assert (topic.partitions, topic.replication, topic.min_insync) == (6, 2, 1)
    assert topic.configs()["retention.ms"] == "5400000"
    assert topic.configs()["retention.bytes"] == str(10 << 20)


def test_a_topic_that_is_not_in_the_file_is_made_by_the_settings() -> None:
    assert topic_named("other", settings(bus_partitions=5), 1).partitions == 5
    assert topic_named("other", settings(), 1).partitions == 2


def test_the_largest_request_and_its_dead_letter_fit() -> None:
    topics = declared(settings(), 1)
    largest = settings().ingest_body_mib
    assert all(topic.max_message_mib > largest for topic in topics.values())
    # A message of the largest size that cannot be read at all is one letter, in Base64.
    most = max(topic.max_message_mib for name, topic in topics.items() if name != "dead_letters")
    assert topics["dead_letters"].max_message_mib > most * 4 / 3 + 1


def test_what_is_as_declared_needs_no_change() -> None:
    wanted = declared(settings(), 3)
    assert plan(wanted, {name: found(topic) for name, topic in wanted.items()}, 3) == []


def test_a_missing_topic_is_made_and_one_with_too_few_partitions_grows() -> None:
    topic = Topic()
    assert plan({"a": topic, "b": topic}, {"b": found(topic, partitions=1)}, 3) == [
        Change("a", "create it: 2 partitions, 3 copies", create=topic),
        Change(
            "b",
            "partitions: 1 -> 2 (keys move: stop all senders, restart the flows)",
            partitions=2,
        ),
    ]


def test_a_config_that_differs_is_set() -> None:
    topic = Topic()
    there = found(topic, configs={**topic.configs(), "retention.ms": "1", "segment.ms": "7"})
    (change,) = plan({"a": topic}, {"a": there}, 3)
    assert change.configs == {"retention.ms": "259200000"}
    assert change.what == "retention.ms: 1 -> 259200000"


def test_what_kafka_cannot_undo_is_refused_with_what_to_do() -> None:
    topic = Topic(partitions=2, replication=3)
    (fewer,) = plan({"a": topic}, {"a": found(topic, partitions=8)}, 3)
    assert "HEADWATER_BUS_PARTITIONS=8" in fewer.hint
    (copies,) = plan({"a": topic}, {"a": found(topic, replication=1)}, 3)
    assert "HEADWATER_BUS_REPLICATION=1" in copies.hint
    (brokers,) = plan({"a": topic}, {}, 2)
    assert "the cluster has 2" in brokers.refusal
    assert refusals([fewer, copies, brokers]) == ["a", "a", "a"]
