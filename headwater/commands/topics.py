"""`headwater topics`: what `bus/topics.toml` and the settings declare, and a cluster -> brought together, or shown.

`apply` plans first. When one change cannot be made, all is said and nothing is touched.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from contracts.errors import BusError
from contracts.messages import Kind
from headwater.console import counted, out, size, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.kafka.admin import Admin, Described
    from bus.topics import Change
    from contracts.bus import Bus
    from contracts.settings import Settings

HOUR_MS = 3_600_000
MIB = 1 << 20
EMBEDDED = "the embedded bus makes its topics by itself: there is nothing to apply"
Facts = dict[str, Any]


def apply(settings: Settings, dry_run: bool) -> int:
    """2 when a difference cannot be applied; nothing was touched then.

    Raises:
        BusError: The cluster cannot be reached, or refused a change: those before it were made; call it again.
    """
    if not _is_kafka(settings):
        out.print(EMBEDDED)
        return 0
    with contextlib.closing(_admin(settings)) as admin:
        changes = admin.differences()
        refused = [change for change in changes if change.refusal]
        _tell(changes)
        if refused:
            out.print(f"[bold red]nothing was changed[/]: {counted(len(refused), 'difference')} cannot be applied")
            return 2
        if not changes:
            out.print("[green]every topic is as declared[/]")
        elif dry_run:
            out.print(f"{counted(len(changes), 'change')} would be made; leave --dry-run out to make them")
        else:
            for change in changes:
                admin.apply(change)
            out.print(f"[green]{counted(len(changes), 'change')} made[/]")
            if left := admin.settle():
                out.print(f"[yellow]not to be seen yet: {', '.join(sorted({change.topic for change in left}))}[/]")
    return 0


def _tell(changes: Sequence[Change]) -> None:
    for change in changes:
        mark, style = ("✗", "bold red") if change.refusal else ("+" if change.create else "~", "green")
        out.print(f"[{style}]{mark}[/] {escape(change.topic)}: {escape(change.what)}")
        if change.refusal:
            out.print(f"    {escape(change.refusal)}\n    → {escape(change.hint)}")


def show(settings: Settings, as_json: bool) -> int:
    """Always 0; a topic that is missing is shown as missing.

    Raises:
        BusError: The bus cannot be read.
    """
    facts = _of_kafka(settings) if _is_kafka(settings) else _of_embedded(settings)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _show(facts)
    return 0


def _is_kafka(settings: Settings) -> bool:
    return settings.bus.startswith("kafka://")


def _admin(settings: Settings) -> Admin:
    from bus.kafka.admin import Admin
    from bus.kafka.config import cluster_of

    return Admin(cluster_of(settings.bus, settings))


def _looking(settings: Settings) -> Bus:
    """A bus that makes nothing."""
    from bus import open_bus

    return open_bus(settings.bus, settings.model_copy(update={"bus_topics_apply": False}))


def _of_kafka(settings: Settings) -> list[Facts]:
    from bus.topics import declared

    with contextlib.closing(_admin(settings)) as admin, contextlib.closing(_looking(settings)) as looking:
        names = list(declared(settings, admin.brokers()))
        described = admin.describe(names)
        waiting = {change.topic for change in admin.differences()}
        return [
            (
                _kafka_topic(name, described[name], looking, name not in waiting)
                if name in described
                else {"topic": name, "exists": False, "as_declared": False, "partitions": []}
            )
            for name in names
        ]


def _kafka_topic(name: str, topic: Described, looking: Bus, as_declared: bool) -> Facts:
    extents = looking.extents(name)
    partitions = [
        {"partition": number, **asdict(each), **asdict(extents[number])}
        for number, each in topic.partitions.items()
        if number in extents
    ]
    return {
        "topic": name,
        "exists": True,
        "as_declared": as_declared,
        "replication": topic.replication,
        "min_insync": int(topic.configs.get("min.insync.replicas", "1")),
        "size_bytes": sum(each.size_bytes for each in topic.partitions.values()),
        "retention_h": int(topic.configs.get("retention.ms", "-1")) / HOUR_MS,
        "retention_mib_of_partition": int(topic.configs.get("retention.bytes", "-1")) / MIB,
        "compression": topic.configs.get("compression.type", ""),
        "partitions": partitions,
    }


def _of_embedded(settings: Settings) -> list[Facts]:
    """Of a bus file; sizes are not known by topic there."""
    from pathlib import Path

    if not Path(settings.bus.removeprefix("sqlite://")).exists():
        raise BusError("there is no bus file yet", hint="the first `headwater up` makes it")
    with contextlib.closing(_looking(settings)) as looking:
        return [
            {
                "topic": kind.topic,
                "exists": True,
                "as_declared": True,
                "replication": 1,
                "min_insync": 1,
                "size_bytes": 0,
                "retention_h": settings.bus_retention_h,
                "retention_mib_of_partition": -1,
                "compression": "producer",
                "partitions": [
                    {"partition": number, **asdict(extent)} for number, extent in looking.extents(kind.topic).items()
                ],
            }
            for kind in Kind
        ]


def _show(facts: Sequence[Facts]) -> None:
    rows = table("topic", ">partitions", ">copies", "in sync", ">messages", ">size", "kept for", "")
    for topic in facts:
        if not topic["exists"]:
            rows.add_row(topic["topic"], "-", "-", "-", "-", "-", "-", "[red]missing: headwater topics apply[/]")
            continue
        parts = topic["partitions"]
        lagging = _behind(topic)
        rows.add_row(
            topic["topic"],
            str(len(parts)),
            str(topic["replication"]),
            f"[yellow]{counted(lagging, 'partition')} not[/]" if lagging else "all",
            f"{sum(each['next_offset'] - each['first_offset'] for each in parts):,}",
            size(topic["size_bytes"]) if topic["size_bytes"] else "-",
            _kept(topic),
            "" if topic["as_declared"] else "[yellow]not as declared: headwater topics apply --dry-run[/]",
        )
    out.print(rows)


def _behind(topic: Facts) -> int:
    """Partitions of which a copy is missing or behind."""
    return sum(len(each.get("in_sync", ())) < len(each.get("replicas", ())) for each in topic["partitions"])


def _kept(topic: Facts) -> str:
    words = [f"{topic['retention_h']:g} h"] if topic["retention_h"] >= 0 else []
    if topic["retention_mib_of_partition"] >= 0:
        words.append(f"{size(topic['retention_mib_of_partition'] * MIB)} a partition")
    return ", ".join(words) or "ever"
