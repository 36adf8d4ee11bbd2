"""The hot store on a real OpenSearch: templates, several writers, the second wall, what others do to indexes."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, RecordQuery, Term
from contracts.settings import Settings
from lakehouse import open_hot
from lakehouse.hot.opensearch import document
from lakehouse.hot.opensearch.templates import template
from lakehouse.hot.opensearch.writer import OpenSearchHotWriter
from scripts.engines.opensearch import OpenSearch
from tests.lakehouse.lake_samples import ACME, DAY_NS, OTHER, batch, log
from tests.lakehouse.reference import stored
from tests.real.opensearch_calls import Calls, bodies, today, write
from tests.settings import settings


@pytest.fixture
def chosen() -> Settings:
    """Settings with a prefix of the test's own."""
    return settings(opensearch_prefix=f"t{secrets.token_hex(4)}", opensearch_timeout_s=5)


@pytest.fixture
def calls(opensearch: OpenSearch) -> Calls:
    return Calls(opensearch.endpoint)


@pytest.fixture
def hot(opensearch: OpenSearch, chosen: Settings) -> Iterator[HotStore]:
    with contextlib.closing(open_hot(opensearch.url, chosen)) as store:
        yield store


def test_writers_on_partitions_of_their_own_write_side_by_side(opensearch: OpenSearch, chosen: Settings) -> None:
    with contextlib.ExitStack() as opened:
        stores = [opened.enter_context(contextlib.closing(open_hot(opensearch.url, chosen))) for _ in range(3)]
        writers = [opened.enter_context(contextlib.closing(store.writer(Kind.LOGS))) for store in stores]
        for offset in range(4):
            for partition, writer in enumerate(writers):
                writer.append([batch(log(body=f"{partition}-{offset}"), offset=offset, partition=partition)])
            for writer in writers if offset % 2 else reversed(writers):
                writer.commit()
        assert stores[0].checkpoints(Kind.LOGS) == {0: 4, 1: 4, 2: 4}
        assert len(bodies(stores[1])) == len(set(bodies(stores[1]))) == 12


def test_a_partition_with_two_writers_is_told_to_the_later_one_and_holds_each_record_once(
    opensearch: OpenSearch, chosen: Settings
) -> None:
    batches = [batch(log(body=f"b{offset}"), offset=offset) for offset in range(4)]
    with (
        contextlib.closing(open_hot(opensearch.url, chosen)) as one,
        contextlib.closing(open_hot(opensearch.url, chosen)) as other,
        contextlib.closing(one.writer(Kind.LOGS)) as first,
        contextlib.closing(other.writer(Kind.LOGS)) as second,
    ):
        first.append(batches[:2])
        first.commit()
        second.append(batches[:1])
        with pytest.raises(StoreError, match=r"partition 0 is written .* by another process") as caught:
            second.commit()
        assert "stop it" in caught.value.hint
        assert one.checkpoints(Kind.LOGS) == {0: 2}
        write(other, *batches)
        assert sorted(bodies(one)) == ["b0", "b1", "b2", "b3"]


def test_a_tenants_alias_shows_its_records_alone(hot: HotStore, chosen: Settings, calls: Calls) -> None:
    write(hot, batch(log(body="mine"), offset=0), batch(log(body="theirs"), offset=1, tenant=OTHER))
    alias = f"{chosen.opensearch_prefix}-logs-{today()}@{ACME}"

    found = calls.get(f"/{alias}/_search", {"query": {"bool": {"must_not": {"match": {"body": "nothing"}}}}})

    assert [hit["_source"]["body"] for hit in found["hits"]["hits"]] == ["mine"]
    with pytest.raises(StoreError):
        calls.call("GET", f"/{chosen.opensearch_prefix}-logs-{today()}@nobody/_search")


def test_indexes_are_made_from_the_templates_and_the_settings(
    opensearch: OpenSearch, chosen: Settings, calls: Calls
) -> None:
    with contextlib.closing(
        open_hot(opensearch.url, chosen.model_copy(update={"opensearch_shards": 2, "opensearch_refresh_s": 7}))
    ) as hot:
        write(hot, batch(log(attributes={"a": {"b": 1}, "c": [1]}), offset=0))
    index = f"{chosen.opensearch_prefix}-logs-{today()}"
    about = calls.get(f"/{index}")[index]
    found = about["settings"]["index"]
    assert (found["number_of_shards"], found["refresh_interval"], found["codec"]) == ("2", "7000ms", "best_compression")
    assert about["mappings"]["dynamic"] == "strict"
    assert "properties" not in about["mappings"]["properties"]["attributes"], "attributes become fields"


def test_a_template_is_brought_up_to_ours_and_others_are_left_alone(
    hot: HotStore, chosen: Settings, calls: Calls
) -> None:
    name = f"{chosen.opensearch_prefix}-logs"
    path = f"/_index_template/{name}"
    old = {"index_patterns": [f"{name}-*"], "version": 0, "priority": 500, "_meta": {"made_by": "headwater"}}
    calls.call("PUT", path, old)
    hot.writer(Kind.LOGS).close()
    assert calls.get(path)["index_templates"][0]["index_template"]["version"] == template("logs")["version"]

    for changed, words in (({"version": 999}, "version 999"), ({"_meta": {}}, "did not make")):
        calls.call("PUT", path, old | changed)
        with pytest.raises(StoreError, match=words) as caught:
            hot.writer(Kind.LOGS)
        assert caught.value.hint
        assert calls.get(path)["index_templates"][0]["index_template"].get("version", 0) == (old | changed)["version"]


def test_an_index_that_others_made_is_named_and_left_until_it_is_gone(
    hot: HotStore, chosen: Settings, calls: Calls
) -> None:
    index = f"{chosen.opensearch_prefix}-logs-{today()}"
    calls.call("PUT", f"/{index}", {"mappings": {"properties": {"body": {"type": "long"}}}})
    with pytest.raises(StoreError, match=index) as caught:
        write(hot, batch(log(), offset=0))
    assert "delete or rename" in caught.value.hint
    assert hot.checkpoints(Kind.LOGS) == {}

    calls.call("DELETE", f"/{index}")
    write(hot, batch(log(body="after"), offset=0))
    assert bodies(hot) == ["after"]


@pytest.mark.parametrize("makes_indexes_by_use", [False, True])
def test_an_index_that_is_deleted_by_hand_is_made_anew_and_its_day_is_left_to_the_lake(
    hot: HotStore, chosen: Settings, calls: Calls, makes_indexes_by_use: bool
) -> None:
    index = f"{chosen.opensearch_prefix}-logs-{today()}"
    calls.call("PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": makes_indexes_by_use}})
    try:
        with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
            writer.append([batch(log(body="a"), offset=0)])
            writer.commit()
            calls.call("DELETE", f"/{index}")
            writer.append([batch(log(body="b"), offset=1)])
            with pytest.raises(StoreError, match=f"had lost {index}"):
                writer.commit()
    finally:
        calls.call("PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": None}})
    assert hot.days(Kind.LOGS) == []
    write(hot, batch(log(body="b"), offset=1), batch(log(body="c"), offset=2, received_ns=LATER_NS))
    assert [day.isoformat() for day in hot.days(Kind.LOGS)] == ["2026-03-05"]
    assert sorted(found.fields["body"] for found in hot.tail(ACME, Kind.LOGS, All(), None, None, {}, 9)) == ["b", "c"]


LATER_NS = batch(offset=0).header.received_ns + DAY_NS


def test_an_index_that_is_replaced_while_no_writer_looks_is_not_taken_for_the_whole_day(
    hot: HotStore, chosen: Settings, calls: Calls
) -> None:
    write(hot, batch(log(body="a"), offset=0))
    index = f"{chosen.opensearch_prefix}-logs-{today()}"
    calls.call("DELETE", f"/{index}")
    assert hot.days(Kind.LOGS) == []
    with pytest.raises(StoreError):
        hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), [batch(offset=0).day])
    calls.call("PUT", f"/{index}")
    assert hot.days(Kind.LOGS) == []


def test_a_read_only_index_stops_the_writer_with_what_to_do_until_it_is_free(
    hot: HotStore, chosen: Settings, calls: Calls
) -> None:
    write(hot, batch(log(body="a"), offset=0))
    block = f"/{chosen.opensearch_prefix}-logs-{today()}/_settings"
    calls.call("PUT", block, {"index.blocks.read_only_allow_delete": True})
    with pytest.raises(StoreError, match="read-only") as caught:
        write(hot, batch(log(body="b"), offset=1))
    assert "free disk space" in caught.value.hint
    assert (bodies(hot), hot.checkpoints(Kind.LOGS)) == (["a"], {0: 1})

    calls.call("PUT", block, {"index.blocks.read_only_allow_delete": None})
    write(hot, batch(log(body="b"), offset=1))
    assert sorted(bodies(hot)) == ["a", "b"]
    assert hot.checkpoints(Kind.LOGS) == {0: 2}


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "attributes",
    [
        {"deep": nested(900)},
        {"k" * 100_000: 1, "": 2},
        {f"k{number}": number for number in range(3_000)},
        {"big": 2**200, "text": "é" * 300_000},
        {"a": {"b": 1}, "a.b": "x"},
    ],
    ids=["deep", "long key", "many", "long", "dotted"],
)
def test_no_attributes_are_refused(hot: HotStore, attributes: dict[str, Any]) -> None:
    made = batch(log(attributes=attributes), log(1, body="w" * 900_000, service="s" * 200_000), offset=0)
    write(hot, made)
    (day,) = hot.days(Kind.LOGS)
    found = hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9, newest_first=False), [day])
    assert [record.fields for record in found] == [row.public for row in stored([made])]
    assert hot.count(ACME, Kind.LOGS, Term("service", "s" * 200_000), None, None, [day]) == 1


def test_what_the_engine_refuses_for_good_is_counted_and_its_day_is_left_to_the_lake(
    hot: HotStore, chosen: Settings, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(made: Batch, lines: Callable[[Batch], list[bytes]] = document.lines) -> list[bytes]:
        return [line.replace(b'"severity_number":9', b'"severity_number":"x"', 1) for line in lines(made)]

    monkeypatch.setattr(document, "lines", spoilt)
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        assert isinstance(writer, OpenSearchHotWriter)
        writer.append([batch(log(body="no"), log(1, body="yes", severity_number=1), offset=0)])
        writer.append([batch(log(body="next", severity_number=1), offset=1, received_ns=LATER_NS)])
        writer.commit()
        assert sum(writer.refused.values()) == 1
    assert hot.checkpoints(Kind.LOGS) == {0: 2}
    assert [day.isoformat() for day in hot.days(Kind.LOGS)] == ["2026-03-05"]
    assert bodies(hot) == ["next"]
