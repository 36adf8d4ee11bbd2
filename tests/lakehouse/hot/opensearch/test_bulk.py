"""Bulk requests against a scripted double: what each outcome leads to, and that nothing is lost or sent for nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.errors import StoreError
from lakehouse.hot.opensearch.bulk import MISSING, Bulk, Refused
from lakehouse.hot.opensearch.client import Client
from lakehouse.hot.opensearch.document import lines
from tests.lakehouse import opensearch_double as doubles
from tests.lakehouse.lake_samples import batch, log
from tests.lakehouse.opensearch_double import Double, Reply, Request
from tests.settings import settings


def rows(count: int, offset: int = 0, **fields: Any) -> list[bytes]:
    return lines(batch(*(log(index, **fields) for index in range(count)), offset=offset))


@contextlib.contextmanager
def sending(double: Double, **overrides: Any) -> Iterator[tuple[Bulk, list[float]]]:
    """A bulk that does not really wait, and what it waited."""
    waited: list[float] = []

    def sleep(seconds: float) -> bool:
        waited.append(seconds)
        return False

    chosen = settings(**({"opensearch_requests": 1} | overrides))
    client = Client(double.url, chosen, timeout_s=5)
    bulk = Bulk(client, chosen, sleep=sleep)
    try:
        yield bulk, waited
    finally:
        bulk.close()
        client.close()


def send(bulk: Bulk, documents: list[bytes]) -> list[Refused]:
    bulk.add("i", documents)
    return bulk.flush()


def test_documents_that_are_there_already_count_as_taken() -> None:
    with doubles.running() as double, sending(double) as (bulk, waited):
        assert send(bulk, rows(3)) == send(bulk, rows(4)) == []
    assert len(double.taken) == 4
    assert (len(double.requests), waited) == (2, [])
    assert "require_alias=true" in double.requests[0].path


def test_a_request_holds_no_more_documents_and_bytes_than_set() -> None:
    with doubles.running() as double, sending(double, opensearch_bulk_docs=10, opensearch_bulk_mib=1) as (bulk, _):
        send(bulk, rows(25))
        send(bulk, rows(5, offset=1, body="x" * 400_000))
    assert sorted(len(request.ids) for request in double.requests) == [1, 2, 2, 5, 10, 10]
    assert len(double.taken) == 30


def test_an_overloaded_engine_is_asked_again_with_growing_pauses_and_gets_smaller_requests() -> None:
    with (
        doubles.running([doubles.overloaded] * 3) as double,
        sending(double, opensearch_bulk_docs=400) as (bulk, waited),
    ):
        send(bulk, rows(10))
        assert bulk.size.docs == pytest.approx(50 * 1.05)
        assert len(waited) == 3
        assert all(0.5 * pause <= seconds <= pause for seconds, pause in zip(waited, [0.1, 0.2, 0.4], strict=True))
        for offset in range(1, 60):
            send(bulk, rows(1, offset))
        assert bulk.size.docs == 400
    assert len(double.taken) == 69


def test_of_a_request_only_the_items_that_were_put_off_are_sent_again() -> None:
    def some(request: Request) -> Reply:
        return double.sorted_out(request, lambda name: (429, "rejected") if name in request.ids[::2] else None)

    with doubles.running() as double, sending(double) as (bulk, waited):
        double.script.append(some)
        assert send(bulk, rows(5)) == []
    first, second = double.requests
    assert second.ids == first.ids[::2]
    assert (len(double.taken), len(waited)) == (5, 1)


def test_an_engine_that_stays_overloaded_ends_in_an_error_and_the_documents_are_not_called_taken() -> None:
    with doubles.running([doubles.overloaded] * 50) as double, sending(double) as (bulk, _):
        bulk._clock = iter(range(0, 1000, 10)).__next__  # ten seconds a look
        with pytest.raises(StoreError, match="429") as caught:
            send(bulk, rows(1))
    assert "overloaded" in caught.value.hint
    assert double.taken == {}


def test_a_request_that_is_too_large_is_halved_and_one_document_that_is_is_refused() -> None:
    def up_to_two(request: Request) -> Reply:
        fits = len(request.ids) <= 2 and not any(document["body"] == "big" for document in request.documents)
        return double.take(request) if fits else Reply(413, "")

    with doubles.running() as double, sending(double) as (bulk, waited):
        double.script += [up_to_two] * 20
        refused = send(bulk, [*rows(7), *rows(1, offset=1, body="big")])
    assert len(double.taken) == 7
    assert ["413" in each.reason and b"big" in each.line for each in refused] == [True]
    assert waited == []


def test_a_document_that_is_refused_is_sent_once_more_with_plain_attributes_then_given_back() -> None:
    def not_deep(request: Request) -> Reply:
        deep = {
            name
            for name, document in zip(request.ids, request.documents, strict=True)
            if document.get("attributes") and document["attributes"] != '{"a":1}'
        }
        return double.sorted_out(request, lambda name: (400, "mapper_parsing_exception") if name in deep else None)

    made = [*rows(1), *rows(1, 1, attributes={"a": 1}), *rows(1, 2, attributes={"b": 1})]
    with doubles.running() as double, sending(double) as (bulk, waited):
        double.script += [not_deep] * 2
        (refused,) = send(bulk, made)
    assert len(double.taken) == 2
    assert b'\\"b\\"' in refused.line
    assert "mapper_parsing_exception" in refused.reason
    assert waited == []


@pytest.mark.parametrize("status", [403, 429])
def test_a_read_only_index_ends_in_an_error_that_says_what_to_do(status: int) -> None:
    def blocked_item(request: Request) -> Reply:
        return double.sorted_out(request, lambda _: (status, "cluster_block_exception"))

    for answer in (doubles.blocked, blocked_item):
        with (
            doubles.running([answer]) as double,
            sending(double) as (bulk, waited),
            pytest.raises(StoreError, match="cluster_block_exception") as caught,
        ):
            send(bulk, rows(2))
        assert "free disk space" in caught.value.hint
        assert waited == []


def test_documents_without_an_index_are_let_go_and_the_index_is_named() -> None:
    def gone(request: Request) -> Reply:
        return double.sorted_out(request, lambda _: (404, MISSING))

    with doubles.running() as double, sending(double) as (bulk, _):
        double.script.append(gone)
        assert send(bulk, rows(2)) == []
        assert bulk.gone == {"i"}


@pytest.mark.parametrize("cut", [1, 40])
def test_an_answer_that_is_cut_in_the_middle_is_an_error_and_a_replay_finds_what_was_taken(cut: int) -> None:
    def half(request: Request) -> Reply:
        whole = double.take(request)
        return Reply(whole.status, whole.body, cut)

    with doubles.running() as double:
        double.script.append(half)
        with sending(double) as (bulk, _), pytest.raises(StoreError):
            send(bulk, rows(3))
        with sending(double) as (bulk, _):
            assert send(bulk, rows(3)) == []
    assert len(double.taken) == 3


def test_an_answer_that_is_short_of_items_is_an_error() -> None:
    with (
        doubles.running([lambda _: Reply(200, {"errors": True, "items": []})]) as double,
        sending(double) as (bulk, _),
        pytest.raises(StoreError, match="answered for 0 of 3"),
    ):
        send(bulk, rows(3))


def test_requests_are_sent_side_by_side_and_a_failure_is_told_by_the_flush_that_follows() -> None:
    with (
        doubles.running([doubles.blocked]) as double,
        sending(double, opensearch_requests=3, opensearch_bulk_docs=5) as (bulk, _),
    ):
        for offset in range(20):
            bulk.add("i", rows(5, offset))
        with pytest.raises(StoreError, match="read-only"):
            bulk.flush()
        with pytest.raises(StoreError, match="read-only"):
            bulk.flush()
