"""`headwater tiers`: every table in every tier -> days, rows, files, bytes, upkeep, growth, and when a disk is full."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from contracts.errors import BusError, StoreError
from contracts.messages import Kind
from headwater.console import out, size, table
from headwater.presence import is_missing
from lakehouse.upkeep.policy.file import load_policy

if TYPE_CHECKING:
    from contracts.bus import Bus
    from contracts.settings import Settings
    from lakehouse.delta.table import Delta
    from lakehouse.upkeep.archive.holdings import Held
    from lakehouse.upkeep.care import Care

Facts = dict[str, Any]
LOOK_BACK_DAYS = 60


def tiers(settings: Settings, as_json: bool) -> int:
    """Always 0; an alert of the bus is told.

    Raises:
        ConfigError: The retention policy is refused.
        StoreError: The lake cannot be read.
    """
    facts = gather(settings)
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
    else:
        _show(facts)
    return 0


def gather(settings: Settings) -> Facts:
    """Everything as plain values; of a folder without stores nothing, and nothing is made there."""
    facts: Facts = {"tables": [], "disks": [], "alerts": [], "unreadable": {}, "next_run": {}}
    policy = load_policy(settings)
    facts["policy"] = policy.source or "built in"
    if is_missing(settings.lake):
        return facts
    from lakehouse.upkeep.care import Care
    from orchestration.schedules.beats import next_runs

    facts["next_run"] = next_runs(dt.datetime.now(dt.UTC))
    with contextlib.closing(Care(settings)) as care:
        facts["today"] = care.today()
        facts["tables"] = [entry for name in _names() for entry in _of_table(care, name, facts["unreadable"])]
        facts["disks"] = _disks(care, policy, facts["tables"])
        if not is_missing(settings.bus, "sqlite://"):
            with _noted(facts["unreadable"], "bus"), contextlib.closing(_looking(settings)) as queue:
                from orchestration.due.backlog import bus_risk

                facts["alerts"] = [f"{risk.name}: {risk.message}" for risk in bus_risk(care, queue)]
    for entry in facts["tables"]:
        entry.pop("by_day")
    return facts


def _looking(settings: Settings) -> Bus:
    from bus import open_bus

    return open_bus(settings.bus, settings.model_copy(update={"bus_topics_apply": False}))


@contextlib.contextmanager
def _noted(unreadable: dict[str, str], what: str) -> Iterator[None]:
    try:
        yield
    except (BusError, StoreError) as error:
        unreadable[what] = str(error)


def _names() -> list[str]:
    from lakehouse.delta.schemas import SCHEMAS

    return [*(kind.value for kind in Kind), *(name for name in SCHEMAS if name not in tuple(Kind))]


def _of_table(care: Care, name: str, unreadable: dict[str, str]) -> list[Facts]:
    """One entry per tier that holds something; a tier that is away keeps nobody from seeing the others."""
    from lakehouse.upkeep.archive.holdings import HOT_KINDS, Held, archive_days, lake_days

    warm = care.table(name)
    lake = lake_days(warm)
    found = [_entry(care, name, "lake", lake) | _upkeep(care, warm, lake)]
    if name not in tuple(Kind):
        return [entry for entry in found if entry["days"]]
    kind = Kind(name)
    with _noted(unreadable, "hot"):
        if kind in HOT_KINDS:
            rows = {day: held.rows for day, held in lake.items()}
            hot = {each.day: Held(rows.get(each.day, 0), 0, each.size_bytes) for each in care.hot.held(kind)}
            found.insert(0, _entry(care, name, "hot", hot))
    with _noted(unreadable, "archive"):
        found.append(_entry(care, name, "archive", archive_days(care, kind, warm)))
    return [entry for entry in found if entry["days"]]


def _entry(care: Care, name: str, tier: str, days: Mapping[dt.date, Held]) -> Facts:
    from lakehouse.upkeep.retention.forecast import growth

    held = days.values()
    return {
        "table": name,
        "tier": tier,
        "days": len(days),
        "rows": sum(each.rows for each in held),
        "files": sum(each.files for each in held),
        "bytes": sum(each.bytes for each in held),
        "oldest": min(days, default=None),
        "newest": max(days, default=None),
        "growth_bytes_per_day": growth({day: each.bytes for day, each in days.items()}, care.today()),
        "last_compaction": None,
        "last_check": None,
        "last_check_failed": [],
        "by_day": {day: each.bytes for day, each in days.items()},
    }


def _upkeep(care: Care, warm: Delta, days: Mapping[dt.date, Held]) -> Facts:
    """The newest day that was compacted as a closed one, and the newest that was checked, with what failed."""
    from lakehouse.upkeep.quality import results as quality

    compacted = (day for day in sorted(days, reverse=True) if warm.noted(f"compacted:{day.isoformat()}") is not None)
    checked = quality.days(care, warm.name, care.today() - dt.timedelta(days=LOOK_BACK_DAYS))
    results = quality.latest(care, warm.name, checked[0]) if checked else ()
    return {
        "last_compaction": next(compacted, None),
        "last_check": checked[0] if checked else None,
        "last_check_failed": [result.check for result in results if not result.passed],
    }


def _disks(care: Care, policy: Any, tables: list[Facts]) -> list[Facts]:
    """Local file systems of the tiers, each with its free space and the day on which it would be full."""
    from contracts.query import Tier
    from lakehouse.upkeep.retention.forecast import Disk, full_on

    settings = care.settings
    urls = {
        Tier.HOT: settings.hot.removeprefix("tantivy://"),
        Tier.LAKE: settings.lake,
        Tier.ARCHIVE: settings.archive,
    }
    devices: dict[int, list[Tier]] = {}
    for tier, url in urls.items():
        if "://" not in url:
            devices.setdefault(_existing(Path(url)).stat().st_dev, []).append(tier)
    held = {(Tier(entry["tier"]), entry["table"]): entry["by_day"] for entry in tables}
    found = []
    for on in devices.values():
        usage = shutil.disk_usage(_existing(Path(urls[on[0]])))
        full = full_on(held, policy, care.today(), Disk(frozenset(on), usage.free))
        found.append({"tiers": [tier.value for tier in on], "free_bytes": usage.free, "full_on": full})
    return found


def _existing(path: Path) -> Path:
    """The nearest folder that is there."""
    while not path.exists():
        path = path.parent
    return path


def _show(facts: Facts) -> None:
    if not facts["tables"]:
        out.print("nothing stored yet; start with: headwater up")
        return
    rows = table(
        "table", "tier", ">days", ">rows", ">files", ">size", "oldest", "newest", ">a day", "compacted", "checked"
    )
    for entry in facts["tables"]:
        growth = entry["growth_bytes_per_day"]
        failed = ", ".join(entry["last_check_failed"])
        rows.add_row(
            entry["table"],
            entry["tier"],
            f"{entry['days']:,}",
            f"{entry['rows']:,}",
            f"{entry['files']:,}" if entry["files"] else "-",
            size(entry["bytes"]),
            str(entry["oldest"]),
            str(entry["newest"]),
            "-" if growth is None else size(growth),
            str(entry["last_compaction"] or "-"),
            f"{entry['last_check'] or '-'}" + (f" [red]{escape(failed)}[/]" if failed else ""),
        )
    out.print(rows)
    is_paced = any(entry["growth_bytes_per_day"] is not None for entry in facts["tables"])
    for disk in facts["disks"]:
        when = (
            f"at this pace full on {disk['full_on']}" if disk["full_on"] else "at this pace not full within ten years"
        )
        told = when if is_paced else "no day is over yet to tell by when it is full"
        out.print(f"disk of {', '.join(disk['tiers'])}: {size(disk['free_bytes'])} free; {told}", soft_wrap=True)
    out.print(f"retention: {escape(facts['policy'])}; what is due: headwater retention plan")
    coming = sorted(facts["next_run"].items(), key=lambda entry: entry[1])
    out.print("next, while headwater up runs: " + ", ".join(f"{name} {when:%H:%M}" for name, when in coming) + " UTC")
    for alert in facts["alerts"]:
        out.print(f"[bold red]{escape(alert)}[/]")
    for what, why in facts["unreadable"].items():
        out.print(f"[bold red]the {what} cannot be read[/]: {escape(why)}")
