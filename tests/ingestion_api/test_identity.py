"""Producer headers and what this process remembers of acknowledged batches."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from contracts.messages import Kind
from contracts.tenants import Tenant
from ingestion_api.acknowledged import Acknowledged
from ingestion_api.identity import EPOCH, KEY, MAX_NUMBER, PRODUCER, SEQUENCE, STREAM, Identity, identity_of
from web.problems import Problem

SHOP, LOGS = Tenant("shop"), Kind.LOGS


def test_a_numbered_producer_is_taken_at_its_word() -> None:
    headers = Headers({PRODUCER: "host-1:ab", EPOCH: "3", STREAM: "/var/log/app.log", SEQUENCE: str(MAX_NUMBER)})
    assert identity_of(headers) == Identity("host-1:ab", 3, "/var/log/app.log", MAX_NUMBER, numbered=True)
    assert identity_of(Headers({PRODUCER: "p", SEQUENCE: "0"})) == Identity("p", numbered=True)


def test_an_idempotency_key_and_nothing_at_all() -> None:
    assert identity_of(Headers({KEY: "order-1"})) == Identity("key:order-1", keyed=True)
    first, second = identity_of(Headers({})), identity_of(Headers({}))
    assert first.producer.startswith("req:")
    assert first.producer != second.producer


@pytest.mark.parametrize(
    "headers",
    [
        {PRODUCER: "p"},
        {SEQUENCE: "0"},
        {PRODUCER: "", SEQUENCE: "0"},
        {PRODUCER: "p" * 129, SEQUENCE: "0"},
        {PRODUCER: "a b", SEQUENCE: "0"},
        {PRODUCER: "key:x", SEQUENCE: "0"},
        {PRODUCER: "req:x", SEQUENCE: "0"},
        {PRODUCER: "bus:logs.raw", SEQUENCE: "0"},
        {PRODUCER: "flow:logs:0", SEQUENCE: "0"},
        {PRODUCER: "p\n", SEQUENCE: "0"},
        {PRODUCER: "p", SEQUENCE: "-1"},
        {PRODUCER: "p", SEQUENCE: "1.0"},
        {PRODUCER: "p", SEQUENCE: "+1"},
        {PRODUCER: "p", SEQUENCE: ""},
        {PRODUCER: "p", SEQUENCE: str(MAX_NUMBER + 1)},
        {PRODUCER: "p", SEQUENCE: "9" * 5000},
        {PRODUCER: "p", SEQUENCE: "²"},
        {PRODUCER: "p", SEQUENCE: "0", EPOCH: "x"},
        {PRODUCER: "p", SEQUENCE: "0", STREAM: "s" * 129},
        {PRODUCER: "p", SEQUENCE: "0", STREAM: "a b"},
        {PRODUCER: "p", SEQUENCE: "0", KEY: "k"},
        {KEY: ""},
        {KEY: "k" * 257},
        {KEY: "a b"},
        {KEY: "é"},
    ],
)
def test_headers_that_do_not_fit_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        identity_of(Headers(headers))
    assert caught.value.status == 400
    assert caught.value.code in ("invalid_producer", "invalid_idempotency_key")


def at(sequence: int, producer: str = "p", epoch: int = 0, stream: str = "") -> Identity:
    return Identity(producer, epoch, stream, sequence, numbered=True)


def test_only_a_whole_known_range_counts_as_stored() -> None:
    known = Acknowledged(60)
    assert not known.has_range(SHOP, LOGS, at(0), 1)
    known.add_range(SHOP, LOGS, at(100), 50)

    assert known.has_range(SHOP, LOGS, at(100), 50)
    assert known.has_range(SHOP, LOGS, at(120), 30)
    assert not known.has_range(SHOP, LOGS, at(120), 31)
    assert not known.has_range(SHOP, LOGS, at(99), 2)
    assert not known.has_range(SHOP, LOGS, at(0), 10)  # before what this process has seen: not known
    for other in (at(100, "q"), at(100, epoch=1), at(100, stream="s")):
        assert not known.has_range(SHOP, LOGS, other, 1)
    assert not known.has_range(Tenant("other"), LOGS, at(100), 1)
    assert not known.has_range(SHOP, Kind.EVENTS, at(100), 1)


def test_ranges_that_touch_grow_together_and_a_gap_starts_anew() -> None:
    known = Acknowledged(60)
    known.add_range(SHOP, LOGS, at(0), 10)
    known.add_range(SHOP, LOGS, at(10), 10)
    known.add_range(SHOP, LOGS, at(15), 10)
    assert known.has_range(SHOP, LOGS, at(0), 25)

    known.add_range(SHOP, LOGS, at(30), 10)

    assert known.has_range(SHOP, LOGS, at(30), 10)
    assert not known.has_range(SHOP, LOGS, at(25), 10)
    assert not known.has_range(SHOP, LOGS, at(0), 25)


def test_a_key_is_forgotten_after_its_time() -> None:
    now = [0.0]
    known = Acknowledged(60, clock=lambda: now[0])
    known.add_key(SHOP, LOGS, "key:a", b"1")
    now[0] = 59
    known.add_key(SHOP, LOGS, "key:a", b"2")  # two at once: the first one is what the flow keeps
    assert known.body_of_key(SHOP, LOGS, "key:a") == b"1"
    assert known.body_of_key(Tenant("other"), LOGS, "key:a") is None

    now[0] = 60
    assert known.body_of_key(SHOP, LOGS, "key:a") is None
    known.add_key(SHOP, LOGS, "key:a", b"3")
    assert known.body_of_key(SHOP, LOGS, "key:a") == b"3"


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion_api.acknowledged.STREAMS", 3)
    monkeypatch.setattr("ingestion_api.acknowledged.KEYS", 3)
    known = Acknowledged(60)
    for number in range(5):
        known.add_range(SHOP, LOGS, at(0, f"p{number}"), 1)
        known.add_key(SHOP, LOGS, f"key:{number}", b"x")

    assert [known.has_range(SHOP, LOGS, at(0, f"p{number}"), 1) for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert [known.body_of_key(SHOP, LOGS, f"key:{number}") for number in range(5)] == [None, None, b"x", b"x", b"x"]
