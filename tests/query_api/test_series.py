"""Steps of a series: round ones by default, and a refusal that names one that would do."""

from __future__ import annotations

import pytest

from lakehouse.read.language.times import SECOND, UNITS
from query_api.series import fitting_step, step_of
from web.problems import Problem

HOUR = UNITS["h"]


@pytest.mark.parametrize(
    ("range_ns", "step_ns"),
    [
        (SECOND, SECOND),
        (HOUR, 15 * SECOND),
        (24 * HOUR, 600 * SECOND),
        (30 * 24 * HOUR, 3 * HOUR),
        (56 * 365 * 24 * HOUR, 13 * UNITS["w"]),
    ],
)
def test_the_step_by_default_is_round_and_gives_at_most_240_points(range_ns: int, step_ns: int) -> None:
    assert step_of("", range_ns, 11_000) == step_ns
    assert range_ns / step_ns <= 240


def test_a_step_that_is_asked_for_is_taken() -> None:
    assert step_of("1m", HOUR, 60) == 60 * SECOND
    assert step_of("90", HOUR, 60) == 90 * SECOND
    assert step_of("1.0000001m", HOUR, 60) == 60_001 * SECOND // 1000  # rounded up to a whole millisecond


@pytest.mark.parametrize(
    ("text", "code"),
    [("soon", "bad_duration"), ("0s", "bad_duration"), ("500ms", "bad_step"), ("59s", "too_many_points")],
)
def test_a_step_that_cannot_be_is_refused(text: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        step_of(text, HOUR, 60)
    assert (caught.value.status, caught.value.code) == (400, code)


def test_a_refusal_names_a_step_that_is_then_taken() -> None:
    with pytest.raises(Problem) as caught:
        step_of("1s", 24 * HOUR, 1000)
    usable = caught.value.extra["usable_step"]
    assert usable in caught.value.detail
    assert step_of(usable, 24 * HOUR, 1000) == fitting_step(24 * HOUR, 1000) == 120 * SECOND
