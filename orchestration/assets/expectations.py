"""Expectations: what is declared of a table, and the profile of one day -> which checks hold, by Great Expectations.

Declared once per table, as `EXPECTATIONS` in `orchestration/assets/<table>.py`: a column of a small frame of the day's
profile (`lakehouse.upkeep.quality.profiles`) with its bounds. Great Expectations sees frames of some hundred
rows, never the table's.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import ConfigError
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.quality.profiles import Frame, Profile, profile
from lakehouse.upkeep.quality.results import CheckResult, Severity

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
    """What `orchestration/assets/<name>.py` declares of the table of that name."""
    expectations: Sequence[Expectation] = importlib.import_module(f"orchestration.assets.{name}").EXPECTATIONS
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
    outside = _outside(frames, expectations)
    return [
        _result(seen, expectation, frames[expectation.frame], outside.get(expectation.check, ()))
        for expectation in expectations
    ]


def _result(seen: Profile, expectation: Expectation, rows: Frame, failing: Sequence[int]) -> CheckResult:
    below = expectation.at_least is not None and expectation.at_most is None
    worst_first = sorted(failing, key=lambda index: rows[index][expectation.column], reverse=not below)
    return CheckResult(
        table=seen.name,
        day=seen.day,
        check=expectation.check,
        passed=not failing,
        severity=expectation.severity,
        description=expectation.description,
        observed={
            "column": f"{expectation.frame}.{expectation.column}",
            "at_least": expectation.at_least,
            "at_most": expectation.at_most,
            "rows": len(rows),
            "failing": len(failing),
        },
        failing=[dict(rows[index]) for index in worst_first[:FAILING_ROWS]],
    )


def _outside(frames: Mapping[str, Frame], expectations: Sequence[Expectation]) -> Mapping[str, Sequence[int]]:
    """The indices of the rows out of bounds, by check. The library's context lives in memory and leaves nothing."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when the library is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        import pandas as pd  # type: ignore[import-untyped]
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        in_memory = InMemoryStoreBackendDefaults(
            init_temp_docs_sites=False
        )  # else each context leaves a folder in /tmp
        config = DataContextConfig(store_backend_defaults=in_memory, progress_bars=ProgressBarsConfig(globally=False))
        context = gx.get_context(mode="ephemeral", project_config=config)
        # One asset for all frames: the library writes its whole configuration anew for each.
        asset = context.data_sources.add_pandas("profile").add_dataframe_asset("frame")
        whole = asset.add_batch_definition_whole_dataframe("day")
        outside: dict[str, Sequence[int]] = {}
        for name, rows in frames.items():
            if rows:
                batch = whole.get_batch({"dataframe": pd.DataFrame(list(rows))})
                suite = gx.ExpectationSuite(name, expectations=[_bounds(e) for e in expectations if e.frame == name])
                for result in batch.validate(suite, result_format={"result_format": "COMPLETE"}).results:
                    _add_failing(outside, result)
    return outside


def _bounds(expectation: Expectation) -> Any:
    from great_expectations.expectations.core import ExpectColumnValuesToBeBetween  # type: ignore[attr-defined]

    return ExpectColumnValuesToBeBetween(
        column=expectation.column,
        min_value=expectation.at_least,
        max_value=expectation.at_most,
        meta={"check": expectation.check},
    )


def _add_failing(outside: dict[str, Sequence[int]], result: Any) -> None:
    indices = result.result.get("unexpected_index_list")
    if indices is None:  # else a list, also when it is empty
        kwargs = result.expectation_config.kwargs
        raise ConfigError(
            f'column "{kwargs.get("column")}" cannot be held against bounds: {result.exception_info}'[:400],
            hint="see the columns of the profile's frames in docs/quality.md",
        )
    outside[result.expectation_config.meta["check"]] = list(indices)
