"""Table: the name of a table and its expectations -> the table's assets, from bus topic to archive, with checks.

Every table has one file in this room, which calls `assets_of`. `lakehouse.upkeep` does the work; an asset adds a name,
partitions, facts and a position in the lineage.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from contracts.messages import Kind
from lakehouse.upkeep.compaction.compact import Compaction, compact_closed, compact_open
from lakehouse.upkeep.quality.results import CheckResult
from orchestration.assets import expectations as expected
from orchestration.assets.expectations import Expectation
from orchestration.assets.partitions import ARRIVAL_DAY
from orchestration.assets.tiering import tiers_of
from orchestration.names import OWNER, RETRY, compacted, landed, opened, pool, topic
from orchestration.resources import Upkeep

Asset = dg.AssetsDefinition | dg.AssetSpec
BOUNDS = {"at_least": "at least", "at_most": "at most"}


def assets_of(kind: Kind, what: str, expectations: Sequence[Expectation]) -> list[Asset]:
    """All assets of one kind of records.

    Args:
        what: The rows in a few words.
    """
    name = kind.value
    return [
        dg.AssetSpec(
            topic(kind),
            group_name=name,
            owners=[OWNER],
            kinds={"topic"},
            description=f"{what} as accepted: one message is one request. Written by the ingestion service.",
        ),
        dg.AssetSpec(
            landed(name),
            deps=[topic(kind)],
            group_name=name,
            owners=[OWNER],
            kinds={"deltalake", "parquet"},
            description=f"{what}, without repeats. Written by the flow every few seconds, in small files.",
        ),
        open_day(name, what),
        closed_day(name, what, expectations),
        *tiers_of(kind, what),
    ]


def open_day(name: str, what: str) -> dg.AssetsDefinition:
    """The open day, which the flow still writes."""

    @dg.asset(
        key=opened(name),
        deps=[landed(name)],
        group_name=name,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        pool=pool(name),
        retry_policy=RETRY,
        description=f"{what} of today: every hour the flow's small files are merged, so that queries open fewer files.",
    )
    def asset(upkeep: Upkeep) -> dg.MaterializeResult:
        with upkeep.care() as care:
            return dg.MaterializeResult(metadata=facts_of(compact_open(care, name, care.today())))

    return asset


def closed_day(name: str, what: str, expectations: Sequence[Expectation]) -> dg.AssetsDefinition:
    """A closed day: rewritten once, then checked."""
    key = compacted(name)
    specs = [
        dg.AssetCheckSpec(each.check, asset=key, description=each.description, blocking=each.severity is expected.ERROR)
        for each in expectations
    ]

    columns = {each.check: each.column for each in expectations}

    @dg.asset(
        key=key,
        deps=[landed(name)],
        partitions_def=ARRIVAL_DAY,
        check_specs=specs,
        group_name=name,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        pool=pool(name),
        retry_policy=RETRY,
        description=f"{what} of a closed day: few large files sorted by (tenant, service, timestamp), and checked. "
        "A failed ERROR check keeps the day out of the archive until the check passes or is released.",
    )
    def asset(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
        day = dt.date.fromisoformat(context.partition_key)
        with upkeep.care() as care:
            done = compact_closed(care, name, day)
            results = expected.check_day(care, name, day, expectations) if expectations else []
        return dg.MaterializeResult(
            metadata=facts_of(done) | ({"checks": dg.MetadataValue.url(page(key, "checks"))} if specs else {}),
            check_results=[shown(result, columns[result.check]) for result in results],
        )

    return asset


def page(key: dg.AssetKey, view: str) -> str:
    """Link to a page of the UI, relative to the UI."""
    return f"/assets/{key.to_user_string()}?view={view}"


def facts_of(done: Compaction) -> dict[str, Any]:
    """Result of a compaction as metadata of its materialisation."""
    facts = {
        "rows": done.rows,
        "dagster/row_count": done.rows,
        "files before": done.files_before,
        "files after": done.files_after,
        "bytes before": done.bytes_before,
        "bytes after": done.bytes_after,
        "seconds": round(done.took_s, 3),
        "Delta version": done.version,
        "repeated ids": done.repeated,
        "rows whose ids were not compared": done.uncounted,
        "rewritten": done.done,
    }
    if done.bytes_after:
        facts["compression ratio"] = round(done.bytes_before / done.bytes_after, 2)
    if done.rows:
        facts["bytes per row"] = round(done.bytes_after / done.rows, 1)
    return facts


def shown(result: CheckResult, looked_at: str = "") -> dg.AssetCheckResult:
    """The result of a check for the UI, with the failing rows of the profile.

    Args:
        looked_at: Column of the profile that has the bounds; shown first.
    """
    seen = result.observed
    rows, failing = seen.get("rows", 0), seen.get("failing", 0)
    told = [f"{word} {seen[name]}" for name, word in BOUNDS.items() if seen.get(name) is not None]
    metadata: dict[str, Any] = {  # as text: numbers would be drawn as plots
        "day": result.day.isoformat(),
        "rows of the profile that fail": f"{failing} of {rows}",
    }
    if told:
        metadata["bounds"] = f"{looked_at} {' and '.join(told)}".strip()
    if result.failing:
        metadata["failing rows"] = table_of(result.failing, looked_at)
    return dg.AssetCheckResult(
        check_name=result.check,
        passed=result.passed,
        severity=dg.AssetCheckSeverity(result.severity.value),
        description=(
            f"{result.severity.value} on {result.day}: {failing} of {rows} rows of the profile fail"
            if not result.passed
            else f"{result.day}: all {rows} rows of the profile are within bounds"
        ),
        metadata=metadata,
    )


def table_of(rows: Sequence[Mapping[str, Any]], first: str = "") -> dg.TableMetadataValue:
    """The rows as a table: columns of text, then `first`, then the others."""
    names = sorted(rows[0], key=lambda name: (0 if isinstance(rows[0][name], str) else 1 if name == first else 2))
    records = [dg.TableRecord({name: plain(row[name]) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(n, _type_name(rows[0][n])) for n in names]))


def plain(value: object) -> bool | int | float | str:
    """A value that the UI can show; other types become text."""
    return value if isinstance(value, bool | int | float | str) else "" if value is None else str(value)


def _type_name(value: object) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "string")
