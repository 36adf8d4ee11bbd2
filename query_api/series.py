"""Steps of a metric series: what was asked, or a width that fits the time range -> nanoseconds."""

from __future__ import annotations

from contracts.errors import QueryError
from lakehouse.read.language.times import SECOND, UNITS, format_duration, parse_duration
from query_api.backend import reading
from web.problems import Problem

DEFAULT_POINTS = 240
_WHOLE = UNITS["ms"]  # points are told in milliseconds
_WIDTHS = tuple(seconds * SECOND for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)) + tuple(
    hours * UNITS["h"] for hours in (1, 2, 3, 6, 12, 24, 48, 168)
)


def fitting_step(range_ns: int, points: int) -> int:
    """The smallest round step with which `range_ns` needs at most `points`."""
    least = -(-range_ns // points)
    weeks = -(-least // UNITS["w"]) * UNITS["w"]
    return next((width for width in _WIDTHS if width >= least), weeks)


def step_of(text: str, range_ns: int, max_points: int) -> int:
    """The step that `text` asks for; blank is one that gives at most 240 points.

    Raises:
        Problem: 400 "bad_duration", "bad_step" (below 1 s) or "too_many_points" with a step that would do.
    """
    if not text.strip():
        return fitting_step(range_ns, min(DEFAULT_POINTS, max_points))
    try:
        step = -(-parse_duration(text) // _WHOLE) * _WHOLE
    except QueryError as error:
        raise reading("step", text, error) from error
    if step < SECOND:
        raise Problem(400, "bad_step", "the smallest step is 1s: use that or more", parameter="step")
    if -(-range_ns // step) > max_points:
        usable = format_duration(fitting_step(range_ns, max_points))
        tell = f"a step of {format_duration(step)} gives more than {max_points} points: use step={usable} or more"
        raise Problem(400, "too_many_points", tell, parameter="step", usable_step=usable)
    return step
