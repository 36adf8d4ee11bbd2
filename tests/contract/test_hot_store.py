"""What every hot store promises (`contracts/hot.py`). A further adapter adds a parameter to `url`."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import LINES, Found, HotStore
from contracts.messages import Kind
from contracts.query import All, Cursor, Node, Not, Position, RecordQuery, Term
from contracts.records import record_id
from contracts.tenants import Tenant
from lakehouse import open_hot
from lakehouse.match import record_matcher
from lakehouse.record_view import public_fields
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, event, log, metric, tick
from tests.real.opensearch_calls import Calls
from tests.settings import settings

TODAY = dt.date(2026, 3, 4)
TOMORROW = dt.date(2026, 3, 5)


ADAPTERS = ["tantivy", pytest.param("opensearch", marks=pytest.mark.engines)]


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "opensearch":  # one engine for all tests, indexes with a prefix of each test's own
        engine, prefix = request.getfixturevalue("opensearch"), f"t{secrets.token_hex(4)}"
        monkeypatch.setenv("HEADWATER_OPENSEARCH_PREFIX", prefix)
        yield str(engine.url)
        Calls(engine.endpoint).call("DELETE", f"/{prefix}-*")  # a start with hundreds of them takes a minute
    else:
        yield f"tantivy://{tmp_path}/hot"


@pytest.fixture
def hot(url: str) -> Iterator[HotStore]:
    with contextlib.closing(open_hot(url, settings())) as store:
        yield store


def write(hot: HotStore, *batches: Batch) -> None:
    with contextlib.closing(hot.writer(batches[0].kind)) as writer:
        writer.append(batches)
        writer.commit()


def search(hot: HotStore, tenant: Tenant = ACME, where: Node | None = None, limit: int = 100) -> list[Found]:
    query = RecordQuery(Kind.LOGS, where or All(), None, None, limit)
    return list(hot.search(tenant, query, hot.days(Kind.LOGS)))


def bodies(found: list[Found]) -> list[str]:
    return [record.fields["body"] for record in found]


def test_a_committed_record_is_answered_by_its_public_names(hot: HotStore) -> None:
    row = log(
        index=3,
        body="Order 17 paid",
        attributes={"http.status": 200, "list": [1, "x"], "none": None, "z": 1.0, "big": 2**70},
        trace_id="t1",
        span_id="s1",
    )
    write(hot, batch(row, offset=7, partition=2))

    (found,) = search(hot)

    assert found.position == Position(2, 7, 3)
    assert found.timestamp_ns == NOON_NS
    assert found.fields == {
        "id": record_id(ACME, "p2", 1, "", 7003),
        "timestamp": "2026-03-04T12:00:00.000000Z",
        "observed_timestamp": "2026-03-04T12:00:00.000000Z",
        "severity_text": "INFO",
        "severity_number": 9,
        "service": "api",
        "env": "prod",
        "host": "h1",
        "body": "Order 17 paid",
        "attributes": {"http.status": 200, "list": [1, "x"], "none": None, "z": 1.0, "big": 2**70},
        "trace_id": "t1",
        "span_id": "s1",
    }


def test_metrics_and_events_have_stores_and_names_of_their_own(hot: HotStore) -> None:
    write(hot, batch(metric(0, 1.5, unit="s", metric_kind="sum"), offset=0, kind=Kind.METRICS))
    write(hot, batch(event(0, "deploy"), offset=0, kind=Kind.EVENTS))

    (point,) = hot.search(ACME, RecordQuery(Kind.METRICS, All(), None, None, 9), hot.days(Kind.METRICS))
    (change,) = hot.search(ACME, RecordQuery(Kind.EVENTS, All(), None, None, 9), hot.days(Kind.EVENTS))

    assert [point.fields[name] for name in ("name", "value", "unit", "kind")] == ["load", 1.5, "s", "sum"]
    assert (change.fields["name"], change.fields["body"]) == ("deploy", "")
    assert hot.days(Kind.LOGS) == []


def test_nothing_is_visible_or_counted_as_stored_before_the_commit(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([batch(log(), offset=0)])
        assert search(hot) == []
        assert writer.checkpoints() == hot.checkpoints(Kind.LOGS) == {}

    assert search(hot) == []
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        assert writer.checkpoints() == {}


def test_a_replay_is_visible_once_in_the_same_commit_a_later_one_and_after_a_restart(hot: HotStore, url: str) -> None:
    batches = [batch(log(body=f"b{offset}"), offset=offset) for offset in range(3)]
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([*batches[:2], *batches[:2]])
        writer.commit()
        writer.append(batches[:1])
        writer.commit()
        assert writer.checkpoints() == {0: 2}

    with contextlib.closing(open_hot(url, settings())) as again:
        write(again, *batches)
        assert sorted(bodies(search(again))) == ["b0", "b1", "b2"]


def test_ticks_and_batches_without_rows_move_the_checkpoint(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([batch(offset=4, duplicates=3), tick(9, partition=1)])
        writer.commit()
        assert writer.checkpoints() == {0: 5, 1: 9}
        writer.append([tick(2, partition=1)])
        writer.commit()
        assert writer.checkpoints() == {0: 5, 1: 9}
    assert hot.checkpoints(Kind.LOGS) == {0: 5, 1: 9}
    assert hot.days(Kind.LOGS) == []


def test_a_tenant_never_sees_another_not_even_by_negation(hot: HotStore) -> None:
    write(hot, batch(log(body="mine"), offset=0), batch(log(body="theirs"), offset=1, tenant=OTHER))

    for where in (All(), Not(Term("body", "nothing")), Not(Term("service", "nothing"))):
        assert bodies(search(hot, where=where)) == ["mine"]
        assert hot.count(OTHER, Kind.LOGS, where, None, None, hot.days(Kind.LOGS)) == 1


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_follow_each_other_without_gap_or_repeat_over_days_and_equal_times(
    hot: HotStore, newest_first: bool, limit: int
) -> None:
    batches = [
        batch(
            *(
                log(index, body=f"{day}-{partition}-{offset}-{index}", at_ns=NOON_NS + index % 2 * 1000)
                for index in range(4)
            ),
            offset=offset,
            partition=partition,
            received_ns=NOON_NS + day * DAY_NS,
        )
        for day, partition, offset in itertools.product(range(2), range(2), range(2))
        if offset == day
    ]
    write(hot, *batches)
    found: list[Found] = []
    after: Cursor | None = None
    while True:
        query = RecordQuery(Kind.LOGS, All(), None, None, limit, after, newest_first)
        page = list(hot.search(ACME, query, hot.days(Kind.LOGS)))
        found += page
        if len(page) < limit:
            break
        after = page[-1].cursor

    places = [(record.timestamp_ns, record.position) for record in found]
    assert len(found) == 16
    assert places == sorted(set(places), reverse=newest_first)


def test_the_time_range_includes_its_start_and_excludes_its_end(hot: HotStore) -> None:
    write(hot, batch(*(log(index, at_ns=NOON_NS + index * 1000) for index in range(4)), offset=0))
    query = RecordQuery(Kind.LOGS, All(), NOON_NS + 1000, NOON_NS + 3000, 9)

    found = hot.search(ACME, query, hot.days(Kind.LOGS))

    assert [record.position.index for record in found] == [2, 1]
    assert hot.count(ACME, Kind.LOGS, All(), NOON_NS + 1000, NOON_NS + 3000, hot.days(Kind.LOGS)) == 2


def test_only_the_days_that_are_asked_for_answer(hot: HotStore) -> None:
    write(hot, batch(log(body="a"), offset=0), batch(log(body="b"), offset=1, received_ns=NOON_NS + DAY_NS))

    assert hot.days(Kind.LOGS) == [TODAY, TOMORROW]
    found = hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), [TOMORROW])
    assert bodies(list(found)) == ["b"]
    assert hot.size_bytes(Kind.LOGS, TODAY) > 0


def test_a_dropped_day_stays_dropped_over_a_replay_and_a_restart(hot: HotStore, url: str) -> None:
    old, new = batch(log(body="old"), offset=0), batch(log(body="new"), offset=1, received_ns=NOON_NS + DAY_NS)
    write(hot, old, new)
    assert len(search(hot)) == 2

    hot.drop_day(Kind.LOGS, TODAY)
    hot.drop_day(Kind.LOGS, TODAY)

    assert bodies(search(hot)) == ["new"]
    with pytest.raises(StoreError):
        hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), [TODAY])
    with contextlib.closing(open_hot(url, settings())) as again:
        write(again, old, new, batch(log(body="late"), offset=2))
        assert bodies(search(again)) == ["new"]
        assert again.days(Kind.LOGS) == [TOMORROW]
        assert again.checkpoints(Kind.LOGS) == {0: 3}


def test_a_day_that_is_dropped_under_its_writer_does_not_stop_it(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([batch(log(body="a"), offset=0)])
        writer.commit()
        writer.append([batch(log(body="b"), offset=1)])
        hot.drop_day(Kind.LOGS, TODAY)
        writer.commit()
        writer.append([batch(log(body="c"), offset=2, received_ns=NOON_NS + DAY_NS)])
        writer.commit()
        assert writer.checkpoints() == {0: 3}
    assert bodies(search(hot)) == ["c"]


def test_a_distrusted_day_does_not_answer_and_its_tail_still_does(hot: HotStore, url: str) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([batch(log(body="a"), offset=0), batch(log(body="b"), offset=1, received_ns=NOON_NS + DAY_NS)])
        writer.distrust_through(TODAY)
        writer.distrust_through(TODAY - dt.timedelta(days=1))
        writer.commit()

    with contextlib.closing(open_hot(url, settings())) as again:
        assert again.days(Kind.LOGS) == [TOMORROW]
        assert len(again.tail(ACME, Kind.LOGS, All(), None, None, {}, 9)) == 2


def arrivals(
    hot: HotStore, start: dict[int, int], end: dict[int, int], limit: int = 99, where: Node | None = None
) -> list[tuple[int, int, int, str]]:
    found = hot.arrivals(ACME, Kind.LOGS, where or All(), start, end, limit)
    return [(each.partition, *divmod(each.place, LINES), each.record["body"]) for each in found]


def test_arrivals_come_in_the_order_of_the_bus_from_one_place_to_before_another(hot: HotStore) -> None:
    many = [
        batch(
            *(log(line, f"{part}-{offset}-{line}", NOON_NS - offset) for line in range(3)),
            partition=part,
            offset=offset,
        )
        for part in range(2)
        for offset in range(4)
    ]
    late = batch(
        log(0, "late", 5), log(2, "later", NOON_NS + DAY_NS), partition=1, offset=4, received_ns=NOON_NS + DAY_NS
    )
    write(hot, *many, late, batch(log(body="theirs"), partition=0, offset=4, tenant=OTHER))
    every = arrivals(hot, {}, {0: 9 * LINES, 1: 9 * LINES})
    assert [each[:3] for each in every] == [
        *((part, offset, line) for part in range(2) for offset in range(4) for line in range(3)), (1, 4, 0), (1, 4, 2)
    ]  # fmt: skip
    assert [each[3] for each in every][-3:] == ["1-3-2", "late", "later"]
    assert [each[:3] for each in every][:12] == [each[:3] for each in arrivals(hot, {}, {0: 9 * LINES})]
    some = arrivals(hot, {0: 2 * LINES + 1, 1: LINES}, {0: 3 * LINES + 1, 1: LINES + 2})
    assert [each[:3] for each in some] == [(0, 2, 1), (0, 2, 2), (0, 3, 0), (1, 1, 0), (1, 1, 1)]
    assert arrivals(hot, {0: 2 * LINES + 1, 1: LINES}, {0: 3 * LINES + 1, 1: LINES + 2}, limit=2) == some[:2]
    assert [each[3] for each in arrivals(hot, {}, {0: 9 * LINES, 1: 9 * LINES}, where=Term("body", "late"))] == ["late"]
    assert arrivals(hot, {0: 9 * LINES}, {0: 2 * LINES}) == arrivals(hot, {}, {}) == arrivals(hot, {}, {7: LINES}) == []


def test_arrivals_are_read_page_by_page_without_gap_or_repeat(hot: HotStore) -> None:
    rows = [[log(line, f"{offset}-{line}") for line in range(1 + offset % 700)] for offset in range(0, 1400, 70)]
    for offset, lines in enumerate(rows):
        write(hot, batch(*lines, offset=offset, partition=offset % 2))
    end = {0: 99 * LINES, 1: 99 * LINES}
    start, seen = dict[int, int](), list[str]()
    while page := arrivals(hot, start, end, limit=500):
        seen += [each[3] for each in page]
        partition, offset, line, _ = page[-1]
        start = {**{each: end[each] for each in end if each < partition}, partition: offset * LINES + line + 1}
    assert sorted(seen) == sorted(row.body for lines in rows for row in lines)


def test_records_of_arrivals_match_as_a_search_and_show_the_same_fields(hot: HotStore) -> None:
    write(hot, batch(log(0, "x", attributes={"a": 1, "b": {"c": "d"}}, trace_id="t" * 300), log(1, "y"), offset=0))
    found = hot.arrivals(ACME, Kind.LOGS, All(), {}, {0: LINES}, 9)
    shown = [public_fields(Kind.LOGS, each.record) for each in found]
    assert shown == [each.fields for each in sorted(search(hot), key=lambda each: each.position)]
    producer = record_matcher(Term("producer", str(found[0].record["producer"])), Kind.LOGS)
    assert [producer(each.record) for each in found] == [True, True]
    assert [record_matcher(Term("body", "y"), Kind.LOGS)(each.record) for each in found] == [False, True]


def test_the_tail_begins_at_the_offsets_it_is_given(hot: HotStore) -> None:
    batches = [
        batch(log(0, body=f"{partition}-{offset}"), log(1, body="x"), offset=offset, partition=partition)
        for partition in range(3)
        for offset in range(3)
    ]
    write(hot, *batches)

    tail = hot.tail(ACME, Kind.LOGS, Not(Term("body", "x")), None, None, {0: 2, 1: 3}, 99)

    assert sorted(bodies(list(tail))) == ["0-2", "2-0", "2-1", "2-2"]
    assert len(hot.tail(ACME, Kind.LOGS, All(), NOON_NS, NOON_NS + 1, {}, 5)) == 5
    assert hot.tail(ACME, Kind.LOGS, All(), None, NOON_NS, {}, 5) == []
    assert hot.tail(OTHER, Kind.LOGS, All(), None, None, {}, 5) == []


def test_there_is_one_writer_of_a_kind(hot: HotStore, url: str) -> None:
    if url.startswith("opensearch"):
        pytest.skip("admits a writer for each bus partition: see tests/real/test_opensearch.py")
    with contextlib.closing(hot.writer(Kind.LOGS)), contextlib.closing(open_hot(url, settings())) as other:
        with pytest.raises(StoreError, match="another process") as caught:
            other.writer(Kind.LOGS)
        assert "stop it" in caught.value.hint
        other.writer(Kind.METRICS).close()
    hot.writer(Kind.LOGS).close()


def test_a_closed_writer_refuses_and_closes_again(hot: HotStore) -> None:
    writer = hot.writer(Kind.LOGS)
    writer.close()
    writer.close()
    with pytest.raises(StoreError, match="closed"):
        writer.append([batch(log(), offset=0)])


def test_dead_letters_are_not_here(hot: HotStore) -> None:
    with pytest.raises(StoreError, match="does not hold dead_letters"):
        hot.days(Kind.DEAD_LETTERS)


def test_a_row_that_cannot_be_written_is_named_and_the_writer_goes_on(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        with pytest.raises(StoreError, match="offset 0 cannot be indexed"):
            writer.append([batch(log(body="fine"), log(1, body="\ud800"), offset=0)])
        writer.append([batch(log(body="next"), offset=1)])
        writer.commit()
    assert bodies(search(hot)) == ["next"]
