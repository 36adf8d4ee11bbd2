"""What the hot store knows of itself, read from an engine that has its index only just, or not."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import pytest

from contracts.messages import Kind
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.state import Days, DayState, KindState
from lakehouse.hot.opensearch.templates import FORMAT


class Engine:
    """Refuses `refusals` times, as a shard that is not started yet does; then has no document."""

    def __init__(self, refusals: int, kind: str = "illegal_index_shard_state_exception") -> None:
        self.left, self._kind = refusals, kind

    def call(self, *_: Any, **named: Any) -> Any:
        if self.left:
            self.left -= 1
            raise EngineError("not now", status=503, kind=self._kind)
        return named["absent"]


def state(engine: Engine) -> KindState:
    return KindState(cast(Client, engine), "headwater", Kind.LOGS)


def test_an_index_that_was_made_just_now_is_waited_for() -> None:
    assert state(Engine(3)).checkpoints().value.partitions == {}


def test_one_that_does_not_start_is_told() -> None:
    with pytest.raises(EngineError, match="not now"):
        state(Engine(1000)).checkpoints()


def test_other_refusals_are_told_at_once() -> None:
    engine = Engine(2, "cluster_block_exception")
    with pytest.raises(EngineError, match="not now"):
        state(engine).checkpoints()
    assert engine.left == 1


def test_a_day_of_another_format_or_that_was_dropped_is_not_asked() -> None:
    ours, older, gone, unknown = (dt.date(2026, 3, day) for day in (1, 2, 3, 4))
    days = Days({ours: DayState("a", format=FORMAT), older: DayState("b", format=FORMAT - 1)})
    days.distrust(unknown)
    days.remove(gone, for_good=True)
    assert [day for day in (ours, older, gone, unknown) if days.may_be_asked(day)] == [ours, unknown]
