"""Care of the Delta table `logs`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.assets.expectations import ERROR, WARN, Expectation
from orchestration.assets.expected import OF_RECORDS
from orchestration.assets.table import assets_of

EXPECTATIONS = (
    *OF_RECORDS,
    Expectation(
        "severity_range", ERROR, "severity numbers are 0 (unspecified) to 24",
        frame="services", column="severity_outside", at_most=0,
    ),
    Expectation(
        "unparsed_share", WARN, "a parser could read at least a tenth of the records of a service",
        frame="services", column="unparsed_share", at_most=0.9,
    ),
)  # fmt: skip

ASSETS = assets_of(Kind.LOGS, "Log records", EXPECTATIONS)
