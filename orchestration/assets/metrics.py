"""Care of the Delta table `metrics`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.assets import rollups
from orchestration.assets.expectations import ERROR, Expectation
from orchestration.assets.expected import OF_RECORDS
from orchestration.assets.table import assets_of

EXPECTATIONS = (
    *OF_RECORDS,
    Expectation(
        "finite_values", ERROR, "every value is a number, neither NaN nor infinite",
        frame="services", column="not_finite", at_most=0,
    ),
)  # fmt: skip

ASSETS = [*assets_of(Kind.METRICS, "Metric points", EXPECTATIONS), *rollups.ASSETS]
