"""Expected: the common part of `EXPECTATIONS` for all tables, and for all tables of records."""

from __future__ import annotations

from orchestration.assets.expectations import ERROR, WARN, Expectation

OF_EVERY_TABLE = (
    Expectation(
        "required_columns", ERROR, "no column is NULL, and no required column is empty",
        frame="columns", column="missing", at_most=0,
    ),
    Expectation(
        "offset_contiguity", ERROR, "every bus offset has one account, and the rows agree with the accounts",
        frame="offsets", column="unexplained", at_most=0,
    ),
    Expectation(
        "distinct_ids", ERROR, "every record id and every bus position is unique",
        frame="ids", column="repeated", at_most=0,
    ),
    Expectation(
        "schema_drift", ERROR, "the table has the same columns and types as on earlier days",
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
        "clock_behind", WARN, "half of a service's records arrive within an hour after their time",
        frame="services", column="lag_p50_s", at_most=3600,
    ),
    Expectation(
        "volume_drop", ERROR, "every hour has at least a tenth of the records of the same hour on earlier days",
        frame="hours", column="ratio", at_least=0.1,
    ),
    Expectation(
        "volume_change", WARN, "every hour has 0.5 to 5 times the records of the same hour on earlier days",
        frame="hours", column="ratio", at_least=0.5, at_most=5,
    ),
    Expectation(
        "source_freshness", WARN, "no source fell silent more than 12 hours before the newest record of the table",
        frame="sources", column="silent_h", at_most=12,
    ),
    Expectation(
        "attribute_drift", WARN, "attributes have the same keys and types as on earlier days",
        frame="attributes", column="changed", at_most=0,
    ),
    Expectation(
        "attribute_cardinality", WARN, "no attribute has more than 10,000 values in a sample of the day",
        frame="attributes", column="distinct", at_most=10_000,
    ),
)  # fmt: skip
