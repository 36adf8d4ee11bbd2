"""Care of the Delta table `dead_letters`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.expectations import ERROR, Expectation
from orchestration.table import assets_of

EXPECTATIONS = (
    Expectation(
        "required_columns", ERROR, "no column is NULL, and none that needs a value is empty",
        frame="columns", column="missing", at_most=0,
    ),
    Expectation(
        "offset_contiguity", ERROR, "every bus offset has one account, and the rows are those that it says",
        frame="offsets", column="unexplained", at_most=0,
    ),
    Expectation(
        "distinct_ids", ERROR, "no record id and no place on the bus is there twice",
        frame="ids", column="repeated", at_most=0,
    ),
    Expectation(
        "schema_drift", ERROR, "the table has the columns and types that it had on the days before",
        frame="schema", column="changed", at_most=0,
    ),
)  # fmt: skip

ASSETS = assets_of(Kind.DEAD_LETTERS, "Records that could not be used", EXPECTATIONS)
