"""`headwater status`: a data folder, and the service on it when one runs -> what is stored where, lag, the equation."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from contracts.errors import BusError, HeadwaterError, StoreError
from contracts.messages import Kind
from contracts.tenants import Role, Tenant
from headwater.console import counted, out, size, table
from headwater.keyring import key_for
from headwater.rest import Rest
from headwater.running import Running, running

if TYPE_CHECKING:
    from contracts.settings import Settings

Facts = dict[str, Any]
_NAMES = {
    "bus": "the bus",
    "hot": "the hot store",
    "lake": "the lake",
    "archive": "the archive",
    "accounts": "the account",
}


def status(settings: Settings, as_json: bool) -> int:
    """1 when a record is unaccounted for, or something cannot be read.

    The account comes from the running service, for its key's tenant; with none running, from the folder, for all.

    Raises:
        StoreError: The stores cannot be read.
    """
    logging.disable()  # of the engines' clients: what cannot be read is told
    here = running(settings.data)
    facts = gather(settings, here)
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
    else:
        _show(settings, here, facts)
    return 1 if facts["unreadable"] or any(entry["difference"] for entry in facts["accounts"]) else 0


def gather(settings: Settings, here: Running | None) -> Facts:
    """Everything as plain values; `unreadable` says of what cannot be read now why, by name."""
    facts: Facts = {"running": asdict(here) if here else None, "data": str(settings.data), "service_error": ""}
    facts |= {
        "bus": {},
        **{name: [] for name in ("hot", "lake", "archive", "accounts", "lags")},
        "accounts_from": "nothing stored yet",
        "unreadable": {},
    }
    if not _is_there(settings):
        return facts
    import bus
    import lakehouse
    from query_api.lags import StoreLags
    from query_api.places import replaced

    with contextlib.ExitStack() as opened:
        looking = settings.model_copy(update={"bus_topics_apply": False})
        queue = bus.open_bus(settings.bus, looking)
        opened.callback(queue.close)
        hot = lakehouse.open_hot(settings.hot, settings)
        opened.callback(hot.close)
        lake = lakehouse.open_lake(settings.lake, settings)
        opened.callback(lake.close)
        for name, read in (("bus", _of_bus), ("hot", _of_hot), ("lake", _of_lake), ("archive", _of_archive)):
            with _noted(facts, name):
                facts[name] = read({"bus": queue, "hot": hot, "lake": lake, "archive": lake}[name])
        with _noted(facts, "bus"):
            facts["replaced"] = [kind.value for kind in replaced(queue, lake)]
        try:
            told = _by_rest(settings, here)
        except HeadwaterError as error:
            told, facts["service_error"] = None, str(error)
        with _noted(facts, "accounts"):
            facts["accounts_from"], facts["accounts"] = told[:2] if told else _by_stores(settings, queue, lake, hot)
        facts["lags"] = told[2] if told else [asdict(lag) for lag in StoreLags(queue, lake, hot).look()]
    return facts


@contextlib.contextmanager
def _noted(facts: Facts, name: str) -> Iterator[None]:
    """An engine that is away keeps nobody from seeing the others."""
    try:
        yield
    except (BusError, StoreError) as error:
        facts["unreadable"][name] = f"{error}; {error.hint}" if error.hint else str(error)


def _of_bus(queue: Any) -> Facts:
    batches = {
        kind.value: sum(extent.next_offset - extent.first_offset for extent in queue.extents(kind.topic).values())
        for kind in Kind
    }
    return {"bytes": queue.size_bytes(), "batches": batches}


def _of_hot(hot: Any) -> list[Facts]:
    return [
        {"kind": kind.value, "day": day.isoformat(), "bytes": hot.size_bytes(kind, day)}
        for kind in (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
        for day in hot.days(kind)
    ]


def _of_lake(lake: Any) -> list[Facts]:
    return [asdict(each) for each in lake.tables()]


def _of_archive(lake: Any) -> list[Facts]:
    return [asdict(each) for each in lake.archive_tables()]


def _is_there(settings: Settings) -> bool:
    path = settings.bus.removeprefix("sqlite://")
    return "://" in path or Path(path).exists()


def _by_rest(settings: Settings, here: Running | None) -> tuple[str, list[Facts], list[Facts]] | None:
    if here is None:
        return None
    rest = Rest(here.url, key_for(settings, Role.READ, here.url), timeout_s=20)
    try:
        answer = rest.get("/conservation")
        return here.url, list(answer["accounts"]), list(answer["stores"])
    finally:
        rest.close()


def _by_stores(settings: Settings, queue: Any, lake: Any, hot: Any) -> tuple[str, list[Facts]]:
    from query_api.account import account

    entries = account(queue, lake, None, hot, Tenant(settings.foreign_tenant))
    embedded = not (settings.bus_url or settings.hot_url or settings.lake_url)
    return "the data folder" if embedded else "the stores", [asdict(entry) for entry in entries]


def _show(settings: Settings, here: Running | None, facts: Facts) -> None:
    out.print(f"[green]running[/] at {here.url} (pid {here.pid})" if here else "[yellow]not running[/]")
    if facts["service_error"]:
        out.print(
            f"[bold red]the service does not answer[/], this is from the stores: {escape(facts['service_error'])}"
        )
        out.print(f"its logs are in {settings.data / 'logs'}; see also: headwater doctor")
    out.print(f"data in {settings.data}")
    if not (facts["bus"] or facts["unreadable"]):
        out.print("nothing stored yet; start with: headwater up")
        return
    _show_stores(facts)
    for name, why in facts["unreadable"].items():
        out.print(f"[bold red]{_NAMES[name]} cannot be read[/]: {escape(why)}")
    _show_store_lags(facts)
    if "accounts" not in facts["unreadable"]:
        _show_lag(facts)
        _show_equation(facts)


def _show_stores(facts: Facts) -> None:
    rows = table("store", "what", ">rows", ">files", ">size", ">days")
    if held := facts["bus"].get("batches", {}):
        told = [counted(count, f"batch of {kind}", f"batches of {kind}") for kind, count in held.items() if count]
        bytes_held = facts["bus"]["bytes"]  # 0: Kafka's are told by `headwater topics show`
        rows.add_row("bus", ", ".join(told), "", "", size(bytes_held) if bytes_held else "-", "")
    for day in facts["hot"]:
        rows.add_row("hot", f"{day['kind']} of {day['day']}", "", "", size(day["bytes"]), "1")
    for tier in ("lake", "archive"):
        for each in facts[tier]:
            if each["rows"]:
                counts = (f"{each['rows']:,}", f"{each['files']:,}", size(each["bytes"]), f"{each['days']}")
                rows.add_row(tier, each["kind"], *counts)
    out.print()
    out.print(rows)


def _show_store_lags(facts: Facts) -> None:
    """One line a store and kind that lacks something, or does not answer."""
    rows = table("store", "kind", ">batches behind", ">seconds behind", "answers")
    for lag in facts["lags"]:
        if lag["messages"] or not lag["answers"]:
            name = "hot store" if lag["store"] == "hot" else "lake"
            answers = "yes" if lag["answers"] else "[bold red]no[/]"
            rows.add_row(name, lag["kind"], f"{lag['messages']:,}", f"{lag['seconds']:,.0f}", answers)
    if rows.row_count:
        out.print()
        out.print(rows)


def _show_lag(facts: Facts) -> None:
    rows = table("accepted, not yet in", "kind", "tenant", ">batches", ">records")
    for entry in facts["accounts"]:
        for store, lag in sorted(entry["lag"].items()):
            if lag["messages"]:
                name = "the hot store" if store == "hot" else "the lake"
                rows.add_row(name, entry["kind"], entry["tenant"], f"{lag['messages']:,}", f"{lag['records']:,}")
    out.print()
    out.print(rows if rows.row_count else "hot store and lake have all that was accepted")
    if rows.row_count and not facts["running"]:
        out.print("[yellow]it waits on the bus until `headwater up` runs again[/]")


def _show_equation(facts: Facts) -> None:
    names = ("received", "visible", "duplicates", "dead_lettered", "in_flight", "difference")
    rows = table("tenant", "kind", *(f">{name.replace('_', ' ')}" for name in names), ">dropped")
    for entry in facts["accounts"]:
        if not any(entry[name] for name in (*names, "lost")):
            continue
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in entry["dropped"].items()) or "0"
        cells = [f"{entry[name]:,}" for name in names]
        if entry["difference"]:
            cells[-1] = f"[bold red]{cells[-1]}[/]"
        rows.add_row(entry["tenant"], entry["kind"], *cells, dropped)
    out.print(
        f"\nreceived = visible + duplicates + dead lettered + dropped + in flight   (from {facts['accounts_from']})"
    )
    out.print(rows if rows.row_count else "nothing received yet")
    if any(entry["in_flight"] for entry in facts["accounts"]):
        out.print(
            "[dim]visible: rows of lake and archive; in flight: durable on the bus, searchable once in the hot store[/]"
        )
    _show_verdict(facts)


def _show_verdict(facts: Facts) -> None:
    """The last line is the one that is read first."""
    if facts.get("replaced"):
        names = ", ".join(facts["replaced"])
        out.print(f"[yellow]the bus of {names} was lost and made anew; flows read all of it at their next start[/]")
    lost = max((entry["lost"] for entry in facts["accounts"]), default=0)
    if lost:
        out.print(f"[bold red]{counted(lost, 'batch', 'batches')} expired on the bus before a flow read them[/]")
    wrong = [entry for entry in facts["accounts"] if entry["difference"]]
    for entry in wrong:
        what = "are missing" if entry["difference"] > 0 else "are there too often"
        out.print(f"[bold red]{abs(entry['difference']):,} {entry['kind']} of tenant {entry['tenant']} {what}[/]")
    if not wrong:
        out.print("[green]every record is accounted for[/]")
