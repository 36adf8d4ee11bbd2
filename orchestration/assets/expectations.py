"""Expectations: declared bounds of a table, and the profile of one day -> results of checks, by Great Expectations.

Each table declares `EXPECTATIONS` in `orchestration/assets/<table>.py`: a column of a small frame of the day's profile
(`lakehouse.upkeep.quality.profiles`) with its bounds. Great Expectations gets frames of some hundred rows, never the
rows of the table.
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

FAILING_ROWS = 20  # failing rows in a result, the worst first
ERROR, WARN = Severity.ERROR, Severity.WARN


@dataclass(frozen=True, slots=True)
class Expectation:
    """A column of a frame whose values must be within bounds. Rows with None in the column are skipped.

    Attributes:
        check: Name of the check and of the asset check, unique in its table.
        severity: ERROR blocks archiving of the day until the check passes or is released; WARN is only shown.
        description: Meaning, for operators.
        frame: Name of a frame of the profile.
        column: Column of that frame, with numbers.
        at_least, at_most: Inclusive bounds; None is no bound.
    """

    check: str
    severity: Severity
    description: str
    frame: str
    column: str
    at_least: float | None = None
    at_most: float | None = None


def declared(name: str) -> Sequence[Expectation]:
    """The expectations that `orchestration/assets/<name>.py` declares for the table `name`."""
    expectations: Sequence[Expectation] = importlib.import_module(f"orchestration.assets.{name}").EXPECTATIONS
    return expectations


def check_day(care: Care, name: str, day: dt.date, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """Profile one day of a table, validate it, and record the results in the table `quality`. Safe to run again.

    Returns:
        One result per expectation, in the same order.

    Raises:
        StoreError: The day cannot be read or the results cannot be written; the same call may be repeated.
    """
    seen = profile(care, name, day)
    results = validate(seen, expectations)
    quality.record(care, results, seen.facts)
    return results


def run(care: Care, name: str, day: dt.date, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """Like `check_day`, without recording the results."""
    return validate(profile(care, name, day), expectations)


def validate(seen: Profile, expectations: Sequence[Expectation]) -> Sequence[CheckResult]:
    """Compare a profile with expectations. The first call blocks for 5 s, as it imports the library."""
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
    """Indices of the rows out of bounds, by check. The library's context stays in memory and writes no file."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # the library reads this at import
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
        # One asset for all frames, as the library rewrites its whole configuration for every asset.
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
    if indices is None:  # a sound result has a list, which may be empty
        kwargs = result.expectation_config.kwargs
        raise ConfigError(
            f'column "{kwargs.get("column")}" cannot be compared with bounds: {result.exception_info}'[:400],
            hint="use a column with numbers, see the profile's frames in docs/quality.md",
        )
    outside[result.expectation_config.meta["check"]] = list(indices)
