"""What every hot store promises of days that are rebuilt from the lake, and of days that are forgotten."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.messages import Kind
from contracts.query import All, RecordQuery, Term
from lakehouse import open_hot
from tests.contract.test_hot_store import bodies, hot, search, url, write  # noqa: F401  (fixtures too)
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log
from tests.settings import settings

TODAY = dt.date(2026, 3, 4)
TOMORROW = dt.date(2026, 3, 5)

# ruff: noqa: F811  fixtures are asked for by the name they are imported by

OLD = [batch(log(body=f"b{offset}"), log(1, body="x"), offset=offset, partition=offset % 2) for offset in range(4)]
NEXT_DAY = batch(log(body="next"), offset=9, received_ns=NOON_NS + DAY_NS)
CHECKPOINTS = {0: 10, 1: 4}


def rebuild(hot: HotStore, *batches: Batch, checkpoints: dict[int, int] = CHECKPOINTS) -> None:
    with hot.rebuilder(Kind.LOGS, TODAY) as building:
        building.add(batches)
        building.complete(checkpoints)


def everything(hot: HotStore, days: list[dt.date]) -> list[Found]:
    return list(hot.search(ACME, RecordQuery(Kind.LOGS, All(), None, None, 1000), days))


def test_a_rebuilt_day_answers_as_the_one_before(hot: HotStore) -> None:
    write(hot, *OLD, NEXT_DAY)
    before = everything(hot, [TODAY, TOMORROW])

    rebuild(hot, *OLD)

    assert everything(hot, [TODAY, TOMORROW]) == before
    assert hot.days(Kind.LOGS) == [TODAY, TOMORROW]
    assert hot.count(ACME, Kind.LOGS, Term("body", "x"), None, None, [TODAY]) == 4
    today, tomorrow = hot.held(Kind.LOGS)
    assert (today.day, today.trusted, tomorrow.trusted, tomorrow.rebuilt_ns) == (TODAY, True, True, None)
    assert today.rebuilt_ns is not None
    assert today.size_bytes == hot.size_bytes(Kind.LOGS, TODAY) > 0


def test_the_day_before_answers_until_the_rebuilt_one_is_complete_and_after_it_was_given_up(hot: HotStore) -> None:
    write(hot, *OLD)
    with hot.rebuilder(Kind.LOGS, TODAY) as building:
        building.add([batch(log(body="new"), offset=0)])
        assert len(everything(hot, [TODAY])) == 8
        assert [day.rebuilt_ns for day in hot.held(Kind.LOGS)] == [None]
        assert len(hot.tail(ACME, Kind.LOGS, All(), None, None, {}, 99)) == 8

    assert len(everything(hot, [TODAY])) == 8
    assert [day.rebuilt_ns for day in hot.held(Kind.LOGS)] == [None]
    with pytest.raises(StoreError):
        building.add(OLD)


def test_a_day_can_be_rebuilt_again_and_again(hot: HotStore) -> None:
    for rows in (1, 2, 3):
        rebuild(hot, *OLD[:rows])
        assert len(everything(hot, [TODAY])) == 2 * rows
        assert [(day.day, day.trusted) for day in hot.held(Kind.LOGS)] == [(TODAY, True)]


def test_a_day_without_rows_is_rebuilt_as_an_empty_one(hot: HotStore) -> None:
    write(hot, *OLD)
    rebuild(hot)
    assert hot.days(Kind.LOGS) == [TODAY]
    assert everything(hot, [TODAY]) == []


def test_a_dropped_day_comes_back_by_a_rebuild_and_can_be_dropped_again(hot: HotStore, url: str) -> None:
    write(hot, *OLD)
    hot.drop_day(Kind.LOGS, TODAY)
    assert (list(hot.dropped(Kind.LOGS)), list(hot.held(Kind.LOGS))) == ([TODAY], [])

    rebuild(hot, *OLD)
    assert (list(hot.dropped(Kind.LOGS)), len(everything(hot, list(hot.days(Kind.LOGS))))) == ([], 8)

    hot.drop_day(Kind.LOGS, TODAY)
    with contextlib.closing(open_hot(url, settings())) as again:
        write(again, *OLD, batch(log(body="late"), offset=8))
        assert search(again) == []
        assert (list(again.dropped(Kind.LOGS)), list(again.held(Kind.LOGS))) == ([TODAY], [])


def test_a_distrusted_day_is_trusted_once_it_is_rebuilt_until_it_is_distrusted_again(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([*OLD, NEXT_DAY])
        writer.commit()
        writer.distrust_through(TOMORROW)
        assert hot.days(Kind.LOGS) == []
        rebuild(hot, *OLD)
        assert hot.days(Kind.LOGS) == [TODAY]
        writer.distrust_through(TODAY)
        assert hot.days(Kind.LOGS) == []
    rebuild(hot, *OLD)
    assert hot.days(Kind.LOGS) == [TODAY]


def test_what_a_flow_replays_to_a_rebuilt_day_is_there_once_and_what_is_new_is_appended(
    hot: HotStore, url: str
) -> None:
    rebuild(hot, *OLD)
    late = batch(log(body="late"), offset=10)
    with contextlib.closing(open_hot(url, settings())) as flow:
        write(flow, *OLD, NEXT_DAY, late)
        write(flow, late)
    assert sorted(bodies(search(hot))) == sorted(["b0", "b1", "b2", "b3", "x", "x", "x", "x", "next", "late"])
    assert hot.days(Kind.LOGS) == [TODAY, TOMORROW]


def test_a_replay_does_not_bring_back_what_the_lake_had_no_more(hot: HotStore, url: str) -> None:
    rebuild(hot, *OLD[:2])
    with contextlib.closing(open_hot(url, settings())) as flow:
        write(flow, *OLD)
    assert sorted(bodies(search(hot))) == ["b0", "b1", "x", "x"]


def test_a_row_that_comes_while_its_day_is_rebuilt_is_not_lost(hot: HotStore, url: str) -> None:
    """A flow in another process has the day open. Either the day does not answer any more, or it has the row."""
    late = batch(log(body="late"), offset=10)
    with contextlib.closing(open_hot(url, settings())) as flow:
        writer = flow.writer(Kind.LOGS)
        writer.append(OLD)
        writer.commit()
        writer.append([late])
        rebuild(hot, *OLD)
        try:
            writer.commit()
        except StoreError:
            writer.close()
            write(flow, late)
        else:
            writer.close()
    if TODAY in hot.days(Kind.LOGS):
        assert bodies(search(hot)).count("late") == 1
    rebuild(hot, *OLD, late, checkpoints={0: 11, 1: 4})
    assert bodies(search(hot)).count("late") == 1


def test_rows_that_the_rebuilt_day_lacks_are_not_taken_away(hot: HotStore) -> None:
    write(hot, *OLD, batch(log(body="past"), offset=10))
    with contextlib.suppress(StoreError):
        rebuild(hot, *OLD)
    if TODAY in hot.days(Kind.LOGS):
        assert "past" in bodies(search(hot))


def test_a_row_that_was_left_out_as_its_day_was_dropped_is_not_missed_by_a_rebuilt_day(hot: HotStore, url: str) -> None:
    write(hot, *OLD)
    hot.drop_day(Kind.LOGS, TODAY)
    with contextlib.closing(open_hot(url, settings())) as flow, contextlib.closing(flow.writer(Kind.LOGS)) as writer:
        writer.append([batch(log(body="left out"), offset=10)])
        writer.commit()
        with contextlib.suppress(StoreError):
            rebuild(hot, *OLD)
        assert TODAY not in hot.days(Kind.LOGS)
        writer.append([batch(log(body="left out too"), offset=11)])
        rebuild(hot, *OLD, batch(log(body="left out"), offset=10), checkpoints={0: 11, 1: 4})
        with pytest.raises(StoreError, match="rebuilt meanwhile"):
            writer.commit()
    write(hot, batch(log(body="left out too"), offset=11))
    if TODAY in hot.days(Kind.LOGS):
        assert {"left out", "left out too"} <= set(bodies(search(hot)))


def test_a_tenant_of_a_rebuilt_day_sees_its_own_and_one_that_comes_later_too(hot: HotStore) -> None:
    theirs = batch(log(body="theirs"), offset=7, tenant=OTHER)
    rebuild(hot, *OLD, theirs)
    write(hot, batch(log(body="later"), offset=10, tenant=OTHER))
    assert sorted(bodies(search(hot, OTHER))) == ["later", "theirs"]
    assert len(search(hot)) == 8


def test_a_forgotten_day_is_left_to_the_lake_until_it_is_rebuilt(hot: HotStore, url: str) -> None:
    write(hot, *OLD, NEXT_DAY)
    hot.forget(Kind.LOGS, TODAY)
    hot.forget(Kind.LOGS, TODAY)
    assert hot.days(Kind.LOGS) == [TOMORROW]
    assert list(hot.dropped(Kind.LOGS)) == []

    with contextlib.closing(open_hot(url, settings())) as again:
        write(again, batch(log(body="late"), offset=10))
        assert again.days(Kind.LOGS) == [TOMORROW]
        assert [(day.day, day.trusted) for day in again.held(Kind.LOGS)] == [(TODAY, False), (TOMORROW, True)]
    rebuild(hot, *OLD, batch(log(body="late"), offset=10), checkpoints={0: 11, 1: 4})
    assert hot.days(Kind.LOGS) == [TODAY, TOMORROW]
    assert bodies(search(hot)).count("late") == 1


def test_a_rebuilt_day_that_was_forgotten_is_not_trusted_by_rows_that_come(hot: HotStore) -> None:
    rebuild(hot, *OLD)
    hot.forget(Kind.LOGS, TODAY)
    write(hot, batch(log(body="late"), offset=10))
    assert hot.days(Kind.LOGS) == []


@pytest.mark.parametrize("way", ["forget", "drop_day"])
def test_a_rebuild_does_not_outlive_what_was_done_to_its_day_meanwhile(hot: HotStore, way: str) -> None:
    with hot.rebuilder(Kind.LOGS, TODAY) as building:
        building.add(OLD)
        getattr(hot, way)(Kind.LOGS, TODAY)
        with contextlib.suppress(StoreError):
            building.add([batch(log(), offset=8)])
        with pytest.raises(StoreError):
            building.complete(CHECKPOINTS)
    assert hot.days(Kind.LOGS) == []


def test_a_writer_forgets_a_day_that_it_has_open(hot: HotStore) -> None:
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        writer.append([*OLD, NEXT_DAY])
        writer.forget(TODAY)
        assert writer.checkpoints() == {0: 10, 1: 4}
        assert hot.days(Kind.LOGS) == [TOMORROW]
        writer.append([batch(log(body="late"), offset=10)])
        with contextlib.suppress(StoreError):
            writer.commit()
        assert hot.days(Kind.LOGS) == [TOMORROW]
    rebuild(hot, *OLD, checkpoints={0: 11, 1: 4})
    assert len(everything(hot, [TODAY])) == 8


def test_the_store_forgets_an_open_day_or_says_who_can(hot: HotStore, url: str) -> None:
    with contextlib.closing(open_hot(url, settings())) as flow, contextlib.closing(flow.writer(Kind.LOGS)) as writer:
        writer.append(OLD)
        writer.commit()
        if url.startswith("opensearch"):
            hot.forget(Kind.LOGS, TODAY)
        else:
            with pytest.raises(StoreError, match="open for writing") as caught:
                hot.forget(Kind.LOGS, TODAY)
            assert "forget the day" in caught.value.hint
            assert len(search(hot)) == 8
            writer.forget(TODAY)
        assert hot.days(Kind.LOGS) == []


def test_of_two_that_rebuild_a_day_one_fails(hot: HotStore, url: str) -> None:
    done = []
    with contextlib.closing(open_hot(url, settings())) as other, hot.rebuilder(Kind.LOGS, TODAY) as first:
        with contextlib.suppress(StoreError), other.rebuilder(Kind.LOGS, TODAY) as second:
            second.add(OLD)
            second.complete(CHECKPOINTS)
            done.append(second)
        with contextlib.suppress(StoreError):
            first.add(OLD)
            first.complete(CHECKPOINTS)
            done.append(first)
    assert len(done) == 1
    assert len(search(hot)) == 8


def test_a_rebuild_that_is_under_way_survives_a_writer_that_is_opened(hot: HotStore, url: str) -> None:
    with hot.rebuilder(Kind.LOGS, TODAY) as building:
        building.add(OLD)
        with contextlib.closing(open_hot(url, settings())) as flow:
            write(flow, NEXT_DAY)
        building.complete(CHECKPOINTS)
    assert len(search(hot)) == 9


def test_a_rebuild_takes_its_day_and_nothing_past_its_checkpoints(hot: HotStore) -> None:
    with hot.rebuilder(Kind.LOGS, TODAY) as building:
        with pytest.raises(ValueError, match="takes logs of 2026-03-04"):
            building.add([NEXT_DAY])
        building.add(OLD)
        with pytest.raises(StoreError, match="past the checkpoints"):
            building.complete({0: 10})
    assert hot.days(Kind.LOGS) == []
