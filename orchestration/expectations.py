"""Expectations: what is declared of a table, and the profile of one day -> which checks hold, by Great Expectations.

Declared once per table, as `EXPECTATIONS` in `orchestration/<table>.py`: a column of a small frame of the day's profile
(`lakehouse.tiers.profiles`) with its bounds. Great Expectations sees frames of some hundred rows, never the table's.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.tiers import quality
from lakehouse.tiers.care import Care
from lakehouse.tiers.profiles import Profile, profile
from lakehouse.tiers.quality import CheckResult, Severity

FAILING_ROWS = 20  # kept of each check, the worst first
ERROR, WARN = Severity.ERROR, Severity.WARN


@dataclass(frozen=True, slots=True)
class Expectation:
    """A column of a frame that has to stay within bounds in every row. A row that has None there is not looked at.

    Attributes:
        check: Name, unique in its table; also of the asset check.
        severity: ERROR keeps the day from being archived until it passes or is released; WARN is shown.
        description: What it means, for operators.
        frame: Which of the profile's frames.
        column: Of that frame; a number.
        at_least, at_most: Bounds, both allowed; None is no bound.
    """

    check: str
    severity: Severity
    description: str
    frame: str
    column: str
    at_least: float | None = None
    at_most: float | None = None


def declared(name: str) -> Sequence[Expectation]:
    """What `orchestration/<name>.py` declares of the table of that name."""
    expectations: Sequence[Expectation] = importlib.import_module(f"orchestration.{name}").EXPECTATIONS
    return expectations


def check_day(care: Care, name: str, day: dt.date, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """Profile one day of a table, validate it, and record the results in the table `quality`. Safe to run again.

    Returns:
        One result per expectation, in their order.

    Raises:
        StoreError: The day cannot be read, or the results not be written; the same call may be repeated.
    """
    seen = profile(care, name, day)
    results = validate(seen, expectations)
    quality.record(care, results, seen.facts)
    return results


def run(care: Care, name: str, day: dt.date, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """As `check_day`, without recording anything."""
    return validate(profile(care, name, day), expectations)


def validate(seen: Profile, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """Hold a profile against expectations. Blocks for 5 s the first time, as the library is imported."""
    frames = {expectation.frame: seen.frames[expectation.frame] for expectation in expectations}
    validator = _Validator(frames)
    return [_result(seen, expectation, validator) for expectation in expectations]


def _result(seen: Profile, expectation: Expectation, validator: _Validator) -> CheckResult:
    rows = seen.frames[expectation.frame]
    failing, observed = validator.outside(expectation)
    return CheckResult(
        table=seen.name,
        day=seen.day,
        check=expectation.check,
        passed=not failing,
        severity=expectation.severity,
        description=expectation.description,
        observed={**observed, "rows": len(rows), "failing": len(failing)},
        failing=[dict(rows[index]) for index in _worst_first(rows, failing, expectation)[:FAILING_ROWS]],
    )


def _worst_first(rows: Sequence[Mapping[str, Any]], failing: Sequence[int], expectation: Expectation) -> list[int]:
    below = expectation.at_least is not None and expectation.at_most is None
    return sorted(failing, key=lambda index: rows[index][expectation.column], reverse=not below)


class _Validator:
    """Frames as batches of Great Expectations, in a context that leaves nothing behind."""

    def __init__(self, frames: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when the library is imported
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations as gx
            import pandas as pd  # type: ignore[import-untyped]
            from great_expectations.data_context.types.base import ProgressBarsConfig
            from great_expectations.expectations.core import (  # type: ignore[attr-defined]
                ExpectColumnValuesToBeBetween,
            )

            self._bounds = ExpectColumnValuesToBeBetween
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = ProgressBarsConfig(globally=False)
            source = context.data_sources.add_pandas("profiles")
            self._batches = {
                name: source.add_dataframe_asset(name)
                .add_batch_definition_whole_dataframe("day")
                .get_batch({"dataframe": pd.DataFrame(list(rows))})
                for name, rows in frames.items()
                if rows
            }

    def outside(self, expectation: Expectation) -> tuple[list[int], dict[str, Any]]:
        """The indices of the rows out of bounds, and what was observed."""
        batch = self._batches.get(expectation.frame)
        if batch is None:
            return [], {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bounds = self._bounds(
                column=expectation.column, min_value=expectation.at_least, max_value=expectation.at_most
            )
            result = batch.validate(bounds, result_format={"result_format": "COMPLETE"})
        return list(result.result.get("unexpected_index_list") or []), {
            "least": expectation.at_least,
            "most": expectation.at_most,
        }
