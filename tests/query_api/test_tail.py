"""`GET /logs/tail` over a real server, a real client, a real bus and the embedded hot store."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from contracts.hot import LINES
from query_api.event_ids import read_id, write_id
from tests.query_api.tailing import Service, served
from tests.query_api.world import NOW, OURS, SECOND, THEIRS, World, log
from tests.waiting import until
from tests.web.running import running
from web.keys import list_keys, revoke_key
from web.problems import Problem


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    with served(world) as made:
        yield made


def test_records_come_in_the_order_of_the_bus_whatever_their_event_time(service: Service) -> None:
    service.arrive("before")
    tail = service.tail().begun()
    service.arrive("b", "a", at_ns=NOW - 3600 * SECOND)
    service.arrive("c", at_ns=NOW - 90 * 86_400 * SECOND)
    odd = "d\u2028\x85\r\n\ndata: x\x0b"
    service.arrive(odd, partition=1, at_ns=NOW + SECOND)
    assert tail.wait_for(4) == ["b", "a", "c", odd]
    time.sleep(0.3)
    assert tail.bodies == ["b", "a", "c", odd]
    shown = service.world.client().get("/logs/search", params={"q": "d"}).json()["records"]
    assert [event.data for event in tail.events if event.name == ""][-1:] == shown


def test_every_id_goes_on_behind_its_record_over_several_partitions_and_lines(service: Service) -> None:
    tail = service.tail().begun()
    first_id = tail.id
    for number in range(4):
        service.arrive(*(f"{number}-{line}" for line in range(3)), partition=number % 3)
    every = tail.wait_for(12)
    ids = [first_id, *(event.id for event in tail.events if event.name == "")]
    for passed, last_id in enumerate(ids):
        with contextlib.closing(service.tail(last_id).begun()) as again:
            # Where one look saw several partitions, the order among them is that of the look.
            assert sorted(again.wait_for(12 - passed)) == sorted(every[passed:])
            assert again.named("begin") == [{"resumed": True}]


def test_a_tail_that_resumes_while_records_arrive_loses_and_doubles_none(service: Service) -> None:
    seen: list[str] = []
    last_id = service.tail().begun().id
    for number in range(60):
        service.arrive(*(f"{number}-{line}" for line in range(50)), partition=number % 2)
        if number % 6 == 5:
            with contextlib.closing(service.tail(last_id).begun()) as tail:
                tail.wait_for(1)
            seen += tail.bodies
            last_id = tail.id
    with contextlib.closing(service.tail(last_id).begun()) as tail:
        tail.wait_for(60 * 50 - len(seen))
        seen += tail.bodies
    assert len(seen) == len(set(seen)) == 60 * 50


def test_a_tail_far_behind_catches_up_through_many_steps_and_then_goes_on_live(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakehouse.read import follow

    monkeypatch.setattr(follow, "LOOK_ROWS", 100)
    first = service.tail().begun()
    for number in range(20):
        service.arrive(*(f"{number}-{line}" for line in range(37)), partition=number % 2)
    late = service.tail(write_id({}).decode(), q="NOT live").begun()
    live = service.tail(write_id({}).decode()).begun()
    service.arrive("live")
    assert sorted(late.wait_for(740)) == sorted(f"{number}-{line}" for number in range(20) for line in range(37))
    assert "live" in live.wait_for(741)
    assert len(set(live.bodies)) == len(set(first.wait_for(741))) == 741


def test_queries_filters_and_tenants_are_kept_apart(service: Service) -> None:
    errors = service.tail(q="level:error AND refused").begun()
    shop = service.tail(service="shop").begun()
    theirs = service.tail(tenant=THEIRS).begun()
    service.arrive("refused by a", severity_number=17, severity_text="ERROR", service="till")
    service.arrive("refused by b", "passed")
    service.arrive("secret", tenant=THEIRS)
    assert shop.wait_for(2) == ["refused by b", "passed"]
    assert errors.wait_for(1) == ["refused by a"]
    assert theirs.wait_for(1) == ["secret"]
    stolen = service.tail(errors.id, tenant=THEIRS).begun()
    zero = service.tail(write_id({}).decode(), tenant=THEIRS).begun()
    assert zero.wait_for(1) == ["secret"]
    time.sleep(0.3)
    assert (shop.bodies, errors.bodies) == (["refused by b", "passed"], ["refused by a"])
    assert set(stolen.bodies) | set(zero.bodies) | set(theirs.bodies) == {"secret"}


def test_many_tails_share_one_look_at_the_store(world: World) -> None:
    with served(world, tail_tenant_connections=40, tail_poll_s=0.3) as service:
        tails = [service.tail(q="" if number % 2 else f"NOT n{number}").begun() for number in range(30)]
        until(lambda: all(tail.named("begin") for tail in tails), "all having begun")
        service.arrive("first")
        for tail in tails:
            tail.wait_for(1)
        service.hot.looks.clear()
        for number in range(5):
            service.arrive(f"more {number}")
            for tail in tails:
                tail.wait_for(2 + number)
        looks = [what for what, _ in service.hot.looks]
        assert looks.count("arrivals") == 5
        assert service.metric("headwater_tails") == 30
        assert service.metric("headwater_tail_records_total") == 30 * 6


def test_no_tail_no_look(service: Service) -> None:
    service.tail().begun().close()
    until(lambda: service.metric("headwater_tails") == 0, "the tail being closed")
    time.sleep(0.2)
    service.hot.looks.clear()
    service.arrive("unseen")
    time.sleep(0.3)
    assert service.hot.looks == []


def test_more_tails_than_allowed_are_refused_and_a_place_comes_back(world: World) -> None:
    with served(world, tail_connections=3, tail_tenant_connections=2) as service:
        ours = [service.tail().begun() for _ in range(2)]
        refused = service.tail()
        until(lambda: refused.body, "the refusal")
        assert (refused.status, refused.body["code"]) == (429, "too_many_tails")
        assert "HEADWATER_TAIL_TENANT_CONNECTIONS" in refused.body["detail"]
        service.tail(tenant=THEIRS).begun()
        other = service.tail(tenant=THEIRS)
        until(lambda: other.body, "the second refusal")
        assert "HEADWATER_TAIL_CONNECTIONS" in other.body["detail"]
        ours[0].close()
        until(lambda: service.metric("headwater_tails") == 2, "the place being free")
        service.tail().begun()
        assert service.metric("headwater_tail_refused_total") == 2


def test_a_reader_that_is_too_slow_is_told_how_many_records_it_skipped_and_sees_the_rest(world: World) -> None:
    with served(world, tail_buffer_kib=64) as service:
        where = urlsplit(service.url)
        assert where.hostname
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((where.hostname, where.port))
            slow.sendall(f"GET /logs/tail HTTP/1.1\r\nHost: x\r\nX-API-Key: {service.keys[OURS]}\r\n\r\n".encode())
            got = b""
            while b"event: begin" not in got:
                got += slow.recv(1024)
            until(lambda: service.metric("headwater_tails") == 1, "the tail being open")
            quick = service.tail(q="NOT nothing").begun()
            total = 0
            while not service.metric("headwater_tail_skipped_total") and total < 40_000:
                service.rows([log(f"{total + n} {'x' * 2000}") for n in range(500)])
                total += 500
                quick.wait_for(total)
                if total == 20_000:  # the system's buffers are full by now
                    break
            slow.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while True:
                    got += slow.recv(1 << 20)
            service.arrive("last")
            slow.settimeout(20)
            while b'"body":"last"' not in got:
                got += slow.recv(1 << 20)
        skipped = sum(int(part.split(b"}")[0]) for part in got.split(b'data: {"records":')[1:])
        records = got.count(b'"body":"') - 1
        assert skipped > 0
        assert records + skipped == total
        assert service.metric("headwater_tail_skipped_total") == skipped
        assert len(set(quick.wait_for(total + 1))) == total + 1
        assert quick.named("skipped") == []


def test_a_reader_that_takes_nothing_is_cut_off_and_its_place_is_free(world: World) -> None:
    service = Service(world)
    with running(service.app, write_timeout_s=0.5) as service.url, contextlib.closing(service):
        where = urlsplit(service.url)
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect((where.hostname or "", where.port or 0))
            stuck.sendall(f"GET /logs/tail HTTP/1.1\r\nHost: x\r\nX-API-Key: {service.keys[OURS]}\r\n\r\n".encode())
            assert b"200 OK" in stuck.recv(1024)
            until(lambda: service.metric("headwater_tails") == 1, "the tail being open")
            for _ in range(40):
                service.rows([log("x" * 2000) for _ in range(500)])
            until(lambda: service.metric("headwater_tails") == 0, "the reader being cut off")


def test_heartbeats_keep_the_connection_and_move_the_id_past_what_does_not_match(world: World) -> None:
    with served(world, tail_heartbeat_s=0.2) as service:
        tail = service.tail(q="wanted").begun()
        begin = tail.id
        service.arrive("other")
        until(lambda: tail.id != begin, "the id moving on")
        assert tail.bodies == []
        again = service.tail(tail.id).begun()
        service.arrive("wanted")
        assert again.wait_for(1) == ["wanted"]


def test_a_hot_store_that_is_away_is_told_and_nothing_is_lost_when_it_is_back(service: Service) -> None:
    tail = service.tail().begun()
    service.arrive("1")
    tail.wait_for(1)
    service.hot.away = "the store is on holiday"
    until(lambda: tail.named("away"), "the absence being told")
    service.arrive("2")
    late, resumed = service.tail(), service.tail(tail.id)
    until(lambda: late.named("away") and resumed.named("away"), "the absence being told to new ones")
    assert tail.named("away") == [{"reason": "the store is on holiday"}]
    service.hot.away = ""
    assert tail.wait_for(2) == ["1", "2"]
    assert resumed.wait_for(1) == ["2"]
    until(lambda: tail.named("back") and resumed.named("back") and late.named("back"), "the return being told")
    late.begun()
    service.arrive("3")
    until(lambda: late.bodies[-1:] == ["3"], "the new one going on")
    assert (tail.wait_for(3), resumed.wait_for(2)) == (["1", "2", "3"], ["2", "3"])


def test_an_error_that_nobody_foresaw_does_not_end_the_looks_of_all_tails(service: Service) -> None:
    tail = service.tail().begun()
    service.arrive("1")
    tail.wait_for(1)
    service.hot.error, service.hot.away = KeyError, "hits"
    until(lambda: tail.named("away"), "the absence being told")
    service.hot.away = ""
    service.arrive("2")
    assert tail.wait_for(2) == ["1", "2"]


def test_the_history_comes_first_and_goes_on_from_any_id_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from query_api import tail as route

    monkeypatch.setattr(route, "HISTORY_ROWS", 7)
    for number in range(4):
        service.rows([log(f"{number}-{line}", NOW + (line * 10 + number) * SECOND) for line in range(5)], number % 2)
    service.arrive("too old", at_ns=NOW - SECOND)
    start: dict[str, Any] = {"start": "2026-01-01T00:00:00Z"}
    wanted = [f"{number}-{line}" for line in range(5) for number in range(4)]
    tail = service.tail(**start).begun()
    assert tail.wait_for(20) == wanted
    service.arrive("new", at_ns=NOW - 2 * SECOND)
    assert tail.wait_for(21)[-1] == "new"
    ids = [event.id for event in tail.events if event.name == ""]
    for passed, last_id in enumerate(ids, 1):
        with contextlib.closing(service.tail(last_id, **start).begun()) as again:
            assert again.wait_for(21 - passed) == [*wanted, "new"][passed:]


@pytest.mark.parametrize(
    "last_id",
    ["x", "1:", "2:0.1", "1:0.1,0.2", "1:0.-1", "1:1024.1", "1:0.99999999999999999", "1:0.1;", "1:0.1;1.1.1",
     "1:0.1;9999999999999999999.0.0.0", "1:0.1;1.0.0.70000", "1:" + "0.1," * 9000 + "1.1", "1:٣.1",
     "' OR 1=1", "1:0.1\x00", "1:0.1;;", "1:0.1\x85"],
)  # fmt: skip
def test_a_hostile_last_event_id_is_refused(last_id: str, service: Service) -> None:
    if last_id.isprintable():
        headers = {"X-API-Key": service.keys[OURS], "Last-Event-ID": last_id.encode()}
        with httpx.stream("GET", f"{service.url}/logs/tail", headers=headers, timeout=20) as answer:  # type: ignore[arg-type]
            if last_id == "1:":  # from the beginning
                assert answer.status_code == 200
                return
            assert answer.status_code in (400, 431)
            assert b'"bad_last_event_id"' in answer.read() or answer.status_code == 431
    with pytest.raises(Problem):
        read_id(last_id)


def test_an_id_ahead_of_the_store_shows_nothing_twice(service: Service) -> None:
    service.arrive("1")
    tail = service.tail(write_id({0: 2 * LINES, 1: LINES}).decode()).begun()
    service.arrive("2")
    service.arrive("p", partition=1)
    service.arrive("3")
    service.arrive("q", partition=1)
    assert sorted(tail.wait_for(2)) == ["3", "q"]
    with contextlib.closing(service.tail(tail.id).begun()) as again:
        service.arrive("4")
        assert again.wait_for(1) == ["4"]


@pytest.mark.parametrize(
    ("params", "code"),
    [({"q": "a AND"}, "query_syntax"), ({"q": "severity_number:x"}, "query_bad_value"),
     ({"limit": "3"}, "unknown_parameter"),
     ({"start": "yesterday"}, "bad_time"), ({"level": "loud"}, "bad_value")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    params: dict[str, Any], code: str, service: Service
) -> None:
    refused = service.tail(**params)
    until(lambda: refused.body, "the refusal")
    assert (refused.status, refused.body["code"]) == (400, code)
    assert service.metric("headwater_tails") == 0


def test_a_key_that_is_revoked_ends_its_tails(world: World) -> None:
    with served(world, tail_heartbeat_s=0.1) as service:
        tail = service.tail().begun()
        token = service.keys[OURS]
        (key,) = [each for each in list_keys(service.settings.keys_file) if each.key_id in token]
        assert revoke_key(service.settings.keys_file, key.key_id)
        assert tail.ended.wait(20)
        assert tail.named("end")


def test_a_service_that_stops_tells_its_tails_and_ends_at_once(world: World) -> None:
    service = Service(world)
    with contextlib.closing(service):
        with running(service.app) as service.url:
            tails = [service.tail().begun() for _ in range(3)]
            service.arrive("1")
            for tail in tails:
                tail.wait_for(1)
        for tail in tails:  # `running` asserts that the server came to its end
            assert tail.ended.wait(10)
            assert "the service stops" in tail.named("end")[0]["reason"]


def test_a_service_without_a_hot_store_says_so(world: World) -> None:
    answer = world.client(with_hot=False).get("/logs/tail")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


def test_an_id_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read_id(write_id({0: 5, 7: 9 * LINES}).decode())
    assert found is not None
    assert (found.places, found.history) == ({0: 5, 7: 9 * LINES}, None)
    assert read_id("") is None
