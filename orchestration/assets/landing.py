"""Landing: state of bus and lake -> observations of the assets that the flows write, and alerts of the bus.

The sensor starts no run. It writes observations to Dagster's records when the state has changed, at most once an hour.
If the bus lost messages before they landed, or may lose them, the sensor raises one alert for as long as this lasts.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from orchestration.due.backlog import Backlog, backlogs, risks_among
from orchestration.failures.bus_alerts import counted_losses, tell_risks
from orchestration.holder import hold
from orchestration.names import landed, topic
from orchestration.resources import Upkeep

CHECK = "lands_in_time"
LATE_S = 300.0  # from acceptance to the lake; the flow commits every few seconds
EVERY_S = 3600  # between observations of one asset, unless its lateness changes

PROMISE = f"accepted records are in the lake within {LATE_S:.0f} s"

Event = dg.AssetObservation | dg.AssetCheckEvaluation


@dg.sensor(
    name="landing",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Progress of the flows: messages on the bus, rows in the lake, and the delay between.",
)
def landing(context: dg.SensorEvaluationContext, upkeep: Upkeep) -> dg.SensorResult:
    settings = upkeep.settings()
    hold(settings.data, "its sensors")
    seen: dict[str, Any] = json.loads(context.cursor or "{}")
    now_s = upkeep.now_ns() / 1e9
    events: list[Event] = []
    with upkeep.care() as care, upkeep.bus() as queue:
        ahead = {kind: backlogs(care, queue, kind) for kind in Kind}
        for kind in Kind:
            facts = look(care, kind, ahead[kind])
            before = seen.get(kind.value, {})
            moved = facts["version"] != before.get("version") and now_s - before.get("at_s", 0) >= EVERY_S
            if moved or (facts["late_s"] > LATE_S) != before.get("late", False):
                seen[kind.value] = {"version": facts["version"], "at_s": now_s, "late": facts["late_s"] > LATE_S}
                events += events_of(kind, facts)
        risks = [*risks_among(care, [each for found in ahead.values() for each in found]), *counted_losses(care)]
    seen["risks"] = tell_risks(risks, seen.get("risks", {}), seen.get("looked_ns", upkeep.now_ns()), upkeep)
    seen["looked_ns"] = upkeep.now_ns()
    return dg.SensorResult(asset_events=events, cursor=json.dumps(seen))


def look(care: Care, kind: Kind, ahead: Sequence[Backlog]) -> dict[str, Any]:
    """Facts about the kind's rows in the lake and its messages on the bus.

    Raises:
        StoreError: The lake cannot be read.
    """
    table = care.table(kind.value)
    files = table.files()
    return {
        "version": table.version,
        "rows": sum(file["num_records"] for file in files),
        "files": len(files),
        "bytes": sum(file["size_bytes"] for file in files),
        "days": len({file["partition.day"] for file in files}),
        "offsets": {each.partition: each.next_offset for each in ahead},
        "waiting": sum(each.messages for each in ahead),
        "late_s": _late_s(ahead, care.now_ns()),
    }


def _late_s(ahead: Sequence[Backlog], now_ns: int) -> float:
    waiting = [each.received_ns for each in ahead if each.received_ns is not None]
    return max(0.0, (now_ns - min(waiting)) / 1e9) if waiting else 0.0


def lands_in_time(kind: Kind) -> dg.AssetChecksDefinition:
    """The check that the sensor evaluates; an operator can run it by hand too."""

    @dg.asset_check(asset=landed(kind.value), name=CHECK, description=PROMISE)
    def check(upkeep: Upkeep) -> dg.AssetCheckResult:
        with upkeep.care() as care, upkeep.bus() as queue:
            facts = look(care, kind, backlogs(care, queue, kind))
        return dg.AssetCheckResult(
            passed=facts["late_s"] <= LATE_S, severity=dg.AssetCheckSeverity.WARN, metadata=_late_facts(facts)
        )

    return check


CHECKS = [lands_in_time(kind) for kind in Kind]


def _late_facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {"messages waiting": facts["waiting"], "oldest waits, in seconds": round(facts["late_s"], 1)}


def events_of(kind: Kind, facts: dict[str, Any]) -> Iterator[Event]:
    offsets = {f"next offset of partition {number}": offset for number, offset in facts["offsets"].items()}
    yield dg.AssetObservation(topic(kind), metadata={**offsets, "messages not in the lake yet": facts["waiting"]})
    in_lake = {name: facts[name] for name in ("rows", "files", "bytes", "days")}
    late = _late_facts(facts)
    yield dg.AssetObservation(landed(kind.value), metadata={**in_lake, "Delta version": facts["version"], **late})
    yield dg.AssetCheckEvaluation(
        asset_key=landed(kind.value),
        check_name=CHECK,
        passed=facts["late_s"] <= LATE_S,
        severity=dg.AssetCheckSeverity.WARN,
        description=PROMISE,
        metadata=late,
    )
