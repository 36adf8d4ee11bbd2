"""Rollups: raw metric points -> windows of a minute and of an hour, as assets; a late point changes its window."""

import datetime as dt

import dagster as dg

from contracts.messages import Kind
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.upkeep.rollups.rollups import RolledUp, is_covered, merge, roll_up
from orchestration.assets.partitions import ARRIVAL_DAY
from orchestration.names import OWNER, RETRY, compacted, landed
from orchestration.resources import Upkeep

WHAT = {"metrics_1m": "a minute", "metrics_1h": "an hour"}


@dg.multi_asset(
    name="metric_windows",
    specs=[
        dg.AssetSpec(
            landed(name),
            deps=[landed(Kind.METRICS.value)],
            group_name=Kind.METRICS.value,
            owners=[OWNER],
            kinds={"deltalake", "parquet"},
            description=f"Count, sum, min, max, last and a sketch of each series in windows of {WHAT[name]}. Each raw "
            "point counts once; a late point changes its window. Metric queries read these tables.",
        )
        for name in ROLLUPS
    ],
    pool="lake/rollups",
    retry_policy=RETRY,
)
def rolled_up(upkeep: Upkeep):  # type: ignore[no-untyped-def]  # a generator; Dagster inspects its signature
    with upkeep.care() as care:
        for name, done in roll_up(care).items():
            yield dg.MaterializeResult(asset_key=landed(name), metadata=_facts(done))


def merged(name: str) -> dg.AssetsDefinition:
    """A closed day of a rollup table: one row per window."""

    @dg.asset(
        key=compacted(name),
        deps=[landed(name)],
        partitions_def=ARRIVAL_DAY,
        group_name=Kind.METRICS.value,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        pool="lake/rollups",
        retry_policy=RETRY,
        description=f"Windows of {WHAT[name]} of a closed day: one row per window, in few sorted files.",
    )
    def asset(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
        day = dt.date.fromisoformat(context.partition_key)
        with upkeep.care() as care:
            if not is_covered(care, day):
                roll_up(care)
            return dg.MaterializeResult(metadata=_facts(merge(care, name, day)))

    return asset


def _facts(done: RolledUp) -> dict[str, int | float]:
    return {
        "rows read": done.rows_in,
        "rows written": done.rows_out,
        "windows": done.windows,
        "seconds": round(done.took_s, 3),
        "Delta version": done.version,
    }


ASSETS = [rolled_up, *(merged(name) for name in ROLLUPS)]
