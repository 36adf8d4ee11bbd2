"""`headwater erase`: a tenant and a query -> a plan, and after a yes none of these records anywhere, and a receipt.

Beside running services, or without them. It may be ended at any instant: `--resume` completes it.
"""

from __future__ import annotations

import contextlib
import getpass
import platform
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from contracts.errors import ConfigError, HeadwaterError, QueryError
from contracts.messages import Kind
from contracts.query import All, Node
from contracts.tenants import tenant_named
from headwater.console import counted, out, table

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.bus import Bus
    from contracts.settings import Settings
    from flows.erase_bus import OnBus
    from lakehouse.lake.erasure_requests import Request
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.erasure.erase import ErasurePlan, Means

KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. `kinds`: () is every kind that the query fits."""

    tenant: str
    query: str
    kinds: Sequence[str] = ()
    reason: str = ""
    no_flows: bool = False


def erase(settings: Settings, wanted: Wanted, dry_run: bool, yes: bool) -> int:
    """0: erased, or the plan is shown; 1: the answer was no.

    Raises:
        ConfigError, QueryError: It cannot be done as asked; nothing was changed.
        StoreError, BusError: It could not be finished: `resume` goes on.
    """
    request = requested(settings, wanted)
    with _Caring(settings) as care, open_bus_of(settings) as bus:
        from flows.erase_bus import erase_on_bus
        from lakehouse.upkeep.erasure.erase import erase as run
        from lakehouse.upkeep.erasure.erase import plan
        from lakehouse.upkeep.erasure.lock import erasing

        found = plan(care, request)
        on_bus = erase_on_bus(settings, request.subject, request.at_ns, dry_run=True)
        _show(request, found, on_bus)
        if dry_run:
            return 0
        if not yes and not typer.confirm("Erase these records for good?"):
            out.print("nothing was changed")
            return 1
        with erasing(settings):
            _tell(settings, run(care, request, means(care, bus, wanted.no_flows)))
    return 0


def resume(settings: Settings, no_flows: bool) -> int:
    """Complete every erasure that began and did not end; a failure keeps no other waiting. Raises as `erase`."""
    with _Caring(settings) as care, open_bus_of(settings) as bus:
        from lakehouse.upkeep.erasure import erase as erasure
        from lakehouse.upkeep.erasure.lock import erasing

        with erasing(settings):
            waiting, failures = erasure.unfinished(care), list[HeadwaterError]()
            for request in waiting:
                out.print(f"erasure {request.id} of tenant {request.tenant}: {request.query}", markup=False)
                try:
                    done = erasure.resume(care, request.id, means(care, bus, no_flows))
                except HeadwaterError as error:
                    out.print(f"it is not finished: {error}", markup=False)
                    failures.append(error)
                    continue
                if done is not None:
                    _tell(settings, done)
        if not waiting:
            out.print("no erasure is unfinished")
        if failures:
            raise failures[0]
    return 0


def verify(settings: Settings, path: Path) -> int:
    """Raises ConfigError when the receipt is not as it was signed."""
    from lakehouse.upkeep.erasure.receipts import verify as verified

    facts = verified(settings, path)
    rows = sum(entry["rows"] for entry in facts["removed"])
    out.print(f"{path} is as it was signed: erasure {facts['id']}, {counted(rows, 'record')}, ended {facts['ended']}")
    return 0


def requested(settings: Settings, wanted: Wanted) -> Request:
    """The query by kind: a kind that it does not fit has no such records.

    Raises:
        ConfigError, QueryError: It fits no kind, or would erase everything.
    """
    from lakehouse.lake.erasure_requests import Request
    from lakehouse.read.language.lucene import parse

    now_ns = time.time_ns() // 1000 * 1000
    if not wanted.query.strip():
        raise ConfigError("an empty query would erase everything", hint='name the subject: --query "user.id:42"')
    where: dict[Kind, Node] = {}
    misfit: QueryError | None = None
    for kind in _kinds(wanted.kinds):
        try:
            where[kind] = parse(wanted.query, kind, now_ns, settings)
        except QueryError as error:
            misfit = misfit or error
    if misfit is not None and (not where or misfit.code != "bad_field"):
        raise misfit
    if any(isinstance(node, All) for node in where.values()):
        raise ConfigError(f'query "{wanted.query}" would erase everything', hint="name the subject; see docs/tiers.md")
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_ns // 10**9))}-{secrets.token_hex(3)}"
    by = f"{getpass.getuser()}@{platform.node()}"
    return Request(name, tenant_named(wanted.tenant), where, wanted.query, now_ns, wanted.reason, by)


def _kinds(names: Sequence[str]) -> list[Kind]:
    known = {kind.value: kind for kind in KINDS}
    for name in names:
        if name not in known:
            raise ConfigError(f'kind "{name}" is not known: use {", ".join(known)}')
    return [kind for kind in KINDS if not names or kind.value in names]


class _Caring:
    """The tables, opened to write: after an S3 server has shown that it loses no commits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Care:
        from lakehouse import check_lake
        from lakehouse.upkeep.care import Care

        check_lake(self._settings.lake, self._settings)
        self._care = Care(self._settings)
        return self._care

    def __exit__(self, *_: object) -> None:
        self._care.close()


def open_bus_of(settings: Settings) -> contextlib.closing[Bus]:
    from bus import open_bus

    return contextlib.closing(open_bus(settings.bus, settings))


def means(care: Care, bus: Bus, no_flows: bool) -> Means:
    """How the tables' erasure reaches flows, bus and console."""
    from flows.erase_bus import erase_on_bus
    from lakehouse.upkeep.erasure.erase import Means

    def on_bus(request: Request, reached: Callable[[], object]) -> Mapping[str, Mapping[str, Any]]:
        done = erase_on_bus(care.settings, request.subject, care.now_ns(), reached=reached)
        return {topic: asdict(each) for topic, each in done.items()}

    return Means(bus, on_bus, False if no_flows else None, lambda what: out.print(f"[dim]{what}[/]"))


def _show(request: Request, found: ErasurePlan, on_bus: Mapping[str, OnBus]) -> None:
    out.print(f"tenant {request.tenant}, records received until now that match: {request.query}", markup=False)
    fits = ", ".join(kind.value for kind in request.where)
    out.print(f"looked at {fits} and at the dead letters of the tenant, which go when they mention what is asked for")
    rows = table("where", "day", ">records")
    for name, days in sorted(found.rows.items()):
        for day, count in sorted(days.items()):
            rows.add_row(name, day.isoformat(), f"{count:,}")
    for topic, told in sorted(on_bus.items()):
        if told.kept_until_ns is not None:
            until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(told.kept_until_ns / 1e9))
            rows.add_row(f"bus/{topic}", "", f"kept by Kafka until {until} at the latest; never landed again")
        elif told.records:
            rows.add_row(f"bus/{topic}", "", f"{told.records:,}")
    out.print(rows if rows.row_count else "nothing matches; what is on its way will be dropped")


def _tell(settings: Settings, facts: Mapping[str, Any]) -> None:
    from lakehouse.upkeep.erasure.receipts import receipt_file

    rows = sum(entry["rows"] for entry in facts["removed"])
    files = len(facts["files_deleted"])
    out.print(f"erased {counted(rows, 'record')}, deleted {counted(files, 'file')}")
    out.print(f"receipt: {receipt_file(settings, str(facts['id']))}", markup=False)
