"""Tiering: a table of records -> its assets in hot store and archive, and the asset of its retention."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from contracts.messages import Kind
from contracts.settings import load_settings
from lakehouse.upkeep.archive.holdings import HOT_KINDS, lake_days
from lakehouse.upkeep.archive.moves import Moved, archive_day
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from lakehouse.upkeep.retention.apply import Action, Done, apply
from orchestration.assets.partitions import ARRIVAL_DAY
from orchestration.due import due
from orchestration.names import OWNER, RETRY, archived, compacted, hot, landed, pool, retained, topic
from orchestration.resources import Upkeep


def tiers_of(kind: Kind, what: str) -> Sequence[dg.AssetsDefinition]:
    """Hot store, retention and archive of one kind."""
    found = [retention(kind, what), archive(kind, what)]
    return [hot_day(kind, what), *found] if kind in HOT_KINDS else found


def hot_day(kind: Kind, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=hot(kind.value),
        deps=[topic(kind), landed(kind.value)],
        partitions_def=ARRIVAL_DAY,
        group_name=kind.value,
        owners=[OWNER],
        kinds={load_settings().hot.split(":", 1)[0]},
        retry_policy=RETRY,
        description=f"{what} of the last days, searchable within a second. Written by the flow. A run rebuilds a lost "
        "day from the lake, while the lake answers for the day.",
    )
    def asset(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
        with upkeep.care() as care:
            done = rebuild_hot(care, kind, _day(context))
        return dg.MaterializeResult(metadata={"rows": done.rows, "bytes": done.bytes, "seconds": round(done.took_s, 3)})

    return asset


def archive(kind: Kind, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=archived(kind.value),
        deps=[compacted(kind.value)],
        partitions_def=ARRIVAL_DAY,
        group_name=kind.value,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        pool=pool(kind.value),
        retry_policy=RETRY,
        description=f"{what} of older days, in HEADWATER_ARCHIVE_URL. A run copies a day there, compares the copy, and "
        "deletes the day from the lake in one commit. Queries read the archive with `tiers=archive`.",
    )
    def asset(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
        day = _day(context)
        with upkeep.care() as care:
            held = lake_days(care.table(kind.value)).get(day)
            if held and (reason := quality.hold(care, kind.value, day, held.rows)):
                raise dg.Failure(reason, allow_retries=False)
            return dg.MaterializeResult(metadata=facts_of(archive_day(care, kind, day)))

    return asset


def retention(kind: Kind, what: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=retained(kind.value),
        deps=[compacted(kind.value)],
        group_name=kind.value,
        owners=[OWNER],
        kinds={"policy"},
        pool=pool(kind.value),
        retry_policy=RETRY,
        description=f"{what} under the retention policy: records past their age leave the hot store, move to the "
        "archive, or are deleted and counted. `headwater retention plan` shows the steps that are due.",
    )
    def asset(context: dg.AssetExecutionContext, upkeep: Upkeep) -> dg.MaterializeResult:
        with upkeep.care() as care, upkeep.bus() as queue:
            planned = due.by_policy(care, queue)

            def say(done: Done) -> None:
                step = done.step
                context.log.info(f"{step.action} {step.tier} {step.day}: {done.rows} rows, {step.why}")
                if step.action is Action.MOVE:
                    facts: dict[str, Any] = {"rows": done.rows, "seconds": round(done.took_s, 3), "why": step.why}
                    context.log_event(
                        dg.AssetMaterialization(archived(kind.value), partition=step.day.isoformat(), metadata=facts)
                    )

            applied = apply(care, planned.of(kind), say)
        return dg.MaterializeResult(metadata=_told(applied.done, planned.notes, kind))

    return asset


def facts_of(moved: Moved) -> dict[str, Any]:
    """Result of a move as metadata of its materialisation."""
    facts: dict[str, Any] = {
        "rows": moved.rows,
        "dagster/row_count": moved.rows,
        "files before": moved.files_before,
        "files after": moved.files_after,
        "bytes before": moved.bytes_before,
        "bytes after": moved.bytes_after,
        "seconds": round(moved.took_s, 3),
        "move": moved.move,
    }
    if moved.bytes_after:
        facts["compression ratio"] = round(moved.bytes_before / moved.bytes_after, 2)
    return facts


def _told(done: Sequence[Done], notes: Sequence[str], kind: Kind) -> dict[str, Any]:
    facts: dict[str, Any] = {"steps": len(done)}
    for action in Action:
        if rows := sum(each.rows for each in done if each.step.action is action):
            facts[f"rows, {action.value}"] = rows
    if done:
        records = [
            dg.TableRecord(
                {"what": each.step.action.value, "tier": each.step.tier.value, "day": each.step.day.isoformat(),
                 "rows": each.rows, "bytes": each.step.bytes, "why": each.step.why}
            )
            for each in done
        ]  # fmt: skip
        facts["what was done"] = dg.MetadataValue.table(records)
    if held := [note for note in notes if kind.value in note]:
        facts["held back"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in held))
    return facts


def _day(context: dg.AssetExecutionContext) -> dt.date:
    return dt.date.fromisoformat(context.partition_key)
