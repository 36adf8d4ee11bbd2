"""Lanes alone, with a store of a few lines: what waits for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind
from contracts.tenants import Tenant
from flows.arrivals import Item
from flows.write import lanes
from flows.write.lanes import Lane
from flows.write.parts import Part
from tests.waiting import until


def batch(offset: int, rows: int = 1) -> Batch:
    header = BatchHeader(tenant=Tenant("t"), kind=Kind.LOGS, producer="p", received_ns=1)
    return Batch(header, 0, offset, rows=[None] * rows)  # type: ignore[list-item]


class Store:
    """A store whose parts keep what they are given; `fails` writes are given up, `goes_on` lets a call end."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.fails = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def open(self) -> StorePart:
        self.goes_on.wait()
        return StorePart(self)


class StorePart:
    def __init__(self, store: Store) -> None:
        self._store, self.halted = store, False

    def checkpoints(self) -> Mapping[int, int]:
        return {0: max(self._store.offsets, default=-1) + 1}

    def write_batch(self, items: list[Item]) -> None:
        self._store.goes_on.wait()
        if self._store.fails:
            self._store.fails -= 1
            self.halted = True
            return
        self._store.offsets += [each.offset for each in items if isinstance(each, Batch)]

    def settle(self) -> None: ...

    def due_s(self) -> float | None:
        return None

    def let_go(self) -> None: ...

    def close(self) -> None: ...


def feed(part: Part, lane: Lane) -> None:
    """All that lies between the store and the flow."""
    first, end = part.checkpoints()[0], lane.meet().get(0, 0)
    part.write_batch([batch(offset) for offset in range(first, end)])


def lane_of(store: Store, stop: threading.Event | None = None, **given: Any) -> Lane:
    return Lane("the store", store.open, feed, stop or threading.Event(), 0.3, **given)


def put(lane: Lane, *offsets: int) -> threading.Thread:
    """A thread that puts batches, each of which fills the lane."""

    def run() -> None:
        for offset in offsets:
            lane.put([batch(offset, lanes.QUEUE_ROWS)])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_what_is_dropped_while_the_worker_gives_way_counts_as_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    lane = lane_of(store)
    lane.put([batch(0)])
    until(lambda: store.offsets == [0], "the store has the first")
    # The worker gets the interpreter late: only after the store has failed, was opened again and was fed.
    monkeypatch.setattr(lane, "_is_idle", lambda: False)
    store.goes_on.clear()
    threading.Timer(0.05, store.goes_on.set).start()
    store.fails = 1
    lane.put([batch(1)])
    until(lambda: lane.is_live, "the store has caught up")
    lane.put([batch(2)])
    until(lambda: 2 in store.offsets, "the store has the last")
    lane.close()

    assert store.offsets == [0, 1, 2]


def test_a_store_that_hangs_while_it_is_opened_is_left_behind() -> None:
    store = Store()
    store.goes_on.clear()
    lane = lane_of(store)
    putting = put(lane, 0, 1, 2)
    putting.join(5)
    is_stuck = putting.is_alive()
    store.goes_on.set()
    until(lambda: store.offsets == [0, 1, 2], "the store has all")
    lane.close()

    assert not is_stuck


def test_another_store_does_not_wait_for_one_that_hangs_while_it_is_opened() -> None:
    store = Store()
    store.goes_on.clear()
    lane = lane_of(store)
    answers: list[bool] = []
    settling = threading.Thread(target=lambda: answers.append(lane.settle()), daemon=True)
    settling.start()
    settling.join(5)
    store.goes_on.set()
    lane.close()

    assert answers == [False]


def test_a_folder_that_hangs_does_not_keep_a_flow_from_ending() -> None:
    store, stop = Store(), threading.Event()
    lane = lane_of(store, stop, is_near=True)
    lane.put([batch(0)])
    until(lambda: store.offsets == [0], "the store has the first")
    store.goes_on.clear()
    putting = put(lane, 1, 2, 3)
    time.sleep(0.5)
    stop.set()
    putting.join(5)
    is_stuck = putting.is_alive()
    lane.close()
    store.goes_on.set()

    assert not is_stuck


def test_a_commit_that_is_waited_for_within_a_time_is_not_waited_for_longer() -> None:
    store = Store()
    lane = lane_of(store, is_near=True)
    lane.put([batch(0)])
    until(lambda: store.offsets == [0], "the store has the first")
    store.goes_on.clear()
    put(lane, 1)
    answers: list[bool] = []
    settling = threading.Thread(target=lambda: answers.append(lane.settle(within_s=0.05)), daemon=True)
    settling.start()
    settling.join(5)
    store.goes_on.set()
    lane.close()

    assert answers == [False]


def test_another_store_learns_at_once_that_the_last_commit_of_one_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(part: StorePart) -> None:
        raise OSError("no room")

    monkeypatch.setattr(StorePart, "close", fail)
    store = Store()
    lane = lane_of(store, is_near=True)
    lane.put([batch(0)])
    until(lambda: store.offsets == [0], "the store has the first")
    lane.close()
    answers: list[bool] = []
    settling = threading.Thread(target=lambda: answers.append(lane.settle()), daemon=True)
    settling.start()
    settling.join(5)

    assert answers == [False]
