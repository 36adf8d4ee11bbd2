"""When parts of sources pause, and that they do so together."""

from __future__ import annotations

import threading

from flows.read.pace import Pace


class Stop(threading.Event):
    """Counts the pauses instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return False


def test_a_worker_pauses_once_when_all_of_its_parts_are_idle() -> None:
    stop = Stop()
    pace = Pace(stop, 0.05)
    for part in "abc":
        pace.join(part)
    for part in "abcabc":
        pace.idle(part)
    assert stop.pauses == [0.05, 0.05]


def test_nobody_pauses_while_one_part_is_busy() -> None:
    stop = Stop()
    pace = Pace(stop, 0.05)
    for _ in range(3):
        pace.busy("a")
        pace.idle("b")
    assert stop.pauses == []

    pace.leave("a")
    pace.idle("b")
    assert stop.pauses == [0.05]


def test_workers_do_not_wait_for_each_other() -> None:
    stop = Stop()
    pace = Pace(stop, 0.05)
    pace.busy("a")
    other = threading.Thread(target=pace.idle, args=("b",))
    other.start()
    other.join()
    assert stop.pauses == [0.05]
