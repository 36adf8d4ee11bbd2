"""Expected: what `EXPECTATIONS` of every table begins with, and of every table of records."""

from __future__ import annotations

from orchestration.assets.expectations import ERROR, WARN, Expectation

OF_EVERY_TABLE = (
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

OF_RECORDS = (
    *OF_EVERY_TABLE,
    Expectation(
        "clock_ahead", ERROR, "at most 1 % of a service's records are dated over 5 minutes after their arrival",
        frame="services", column="ahead_share", at_most=0.01,
    ),
    Expectation(
        "clock_behind", WARN, "half of a service's records arrive within an hour after they were made",
        frame="services", column="lag_p50_s", at_most=3600,
    ),
    Expectation(
        "volume_drop", ERROR, "an hour has at least a tenth of the records that the same hour had on the days before",
        frame="hours", column="ratio", at_least=0.1,
    ),
    Expectation(
        "volume_change", WARN, "an hour has half to five times the records that the same hour had on the days before",
        frame="hours", column="ratio", at_least=0.5, at_most=5,
    ),
    Expectation(
        "source_freshness", WARN, "no source fell silent more than 12 hours before the newest record of the table",
        frame="sources", column="silent_h", at_most=12,
    ),
    Expectation(
        "attribute_drift", WARN, "attributes have the keys and types that they had on the days before",
        frame="attributes", column="changed", at_most=0,
    ),
    Expectation(
        "attribute_cardinality", WARN, "no attribute has more than 10,000 values in a sample of the day",
        frame="attributes", column="distinct", at_most=10_000,
    ),
)  # fmt: skip
