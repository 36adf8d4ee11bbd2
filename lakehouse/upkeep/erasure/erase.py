"""Erasure: a subject (tenant and query) -> its records removed from every tier and from the bus, and a receipt.

Each step may be repeated; after a crash `resume` completes the erasure. The steps in order:

1. The tombstone is written to the table `erasures`: from now on flows drop the subject's records, also in a replay.
2. The erasure waits for the flows: records accepted before the tombstone have landed, or will be dropped.
3. Rows are removed from lake, archive and dead letters until a search finds none.
4. The hot store forgets the days that held them; closed days are rebuilt from the lake. Rollups are computed again.
5. Their lines are blanked in the embedded bus. Kafka cannot do that: its topics keep the bytes until their retention.
6. After a grace period for running queries, the files that held the rows are deleted.
7. The receipt is written as a file and to the table `erasures`.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.bus import Bus
from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.delta.schemas import ERASURES
from lakehouse.delta.table import translated
from lakehouse.lake import erasure_requests as erasures
from lakehouse.lake.erasure_requests import Request, days_with
from lakehouse.upkeep.archive.moves import end_moves
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure import files as erasure_files
from lakehouse.upkeep.erasure import receipts
from lakehouse.upkeep.erasure.hot import forget, note_days, rebuild
from lakehouse.upkeep.erasure.rollups import restate
from lakehouse.upkeep.erasure.rows import ARCHIVE, Target, found, noted, remove_found, targets
from lakehouse.upkeep.erasure.state import ErasureState
from lakehouse.upkeep.erasure.wait import fence_imports, wait_for_flows
from lakehouse.upkeep.scratch import sweep

ROUNDS = 5  # a later round removes rows that moved or landed during the one before
TOLD = failpoint("erase.told", "the tombstone is written, no record is removed yet")
BLANKED = failpoint("erase.bus_blanked", "some messages of the bus are without the subject's records")
SIGNED = failpoint("erase.receipt_written", "the records are removed and the receipt is a file, not yet in the table")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Means:
    """Tools of an erasure beside the tables.

    Attributes:
        bus: Shows which messages were accepted and have not landed.
        erase_on_bus: Blanks the subject's lines on the bus, calls its second argument after each step, and returns the
            result by topic.
        flows_run: True if flows run; None: the erasure asks the embedded hot store, and assumes True for OpenSearch.
        say: Receives a line of text before each step.
        sleep: Waits for a number of seconds.
    """

    bus: Bus
    erase_on_bus: Callable[[Request, Callable[[], object]], Mapping[str, Mapping[str, Any]]]
    flows_run: bool | None = None
    say: Say = lambda _what: None
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """Rows that an erasure would remove, by table ("lake/logs", "archive/logs", "hot/logs") and day."""

    rows: Mapping[str, Mapping[dt.date, int]]

    @property
    def total(self) -> int:
        """Number of records. Rows of the hot store do not count, as they are in the lake too."""
        return sum(sum(days.values()) for name, days in self.rows.items() if not name.startswith("hot/"))


def plan(care: Care, request: Request) -> ErasurePlan:
    """Count the rows that an erasure would remove. Changes nothing.

    Raises:
        StoreError: A tier cannot be read.
    """
    rows = {target.name: found(target, request) for target in targets(care, request)}
    for kind, where in request.where.items():
        held = days_with(care.hot, kind, request)
        rows[f"hot/{kind.value}"] = {
            day: care.hot.count(request.tenant, kind, where, None, None, [day]) for day in held
        }
    return ErasurePlan({name: days for name, days in rows.items() if days})


def erase(care: Care, request: Request, means: Means) -> dict[str, Any]:
    """Run all steps and return the facts of the receipt. Blocks for the grace period at least. Idempotent.

    Raises:
        StoreError, BusError: The erasure could not be finished. The tombstone stands, and the same call continues.
    """
    erasures.checked(request)
    note_days(
        care, request, ErasureState.of(care.settings, request.id, care.now_ns())
    )  # before the tombstone: a running flow then takes these days out of the hot store
    erasures.begin(care.table(ERASURES), request, care.now_ns())
    reach(TOLD)
    return _finish(care, request, means)


def unfinished(care: Care) -> Sequence[Request]:
    """Erasures that have begun and not ended."""
    return erasures.unfinished(care.table(ERASURES))


def resume(care: Care, erasure: str, means: Means) -> dict[str, Any] | None:
    """Complete an unfinished erasure; None if no unfinished erasure has that id. Raises as `erase`."""
    request = next((each for each in unfinished(care) if each.id == erasure), None)
    return None if request is None else _finish(care, request, means)


def _finish(care: Care, request: Request, means: Means) -> dict[str, Any]:
    state = ErasureState.of(care.settings, request.id, care.now_ns())
    fence_imports(care, request)
    means.say("waiting until the flows have landed the records that were accepted before")
    wait_for_flows(care, request, means.bus, means.flows_run, means.sleep)
    _remove_rows(care, request, state, means)
    means.say("removing the days with such records from the hot store")
    forget(care, request, state, means.sleep)
    fenced_s = time.time()  # rollup files that were written before can no longer become part of a version
    restate(care, request, state)
    rebuild(care, state)
    means.say("blanking such records on the bus")
    state.bus = {**state.bus, **means.erase_on_bus(request, lambda: reach(BLANKED))}
    state.save(care.settings)
    _delete_files(care, request, state, means, fenced_s)
    _look_again(care, request)
    return _sign(care, request, state)


def _remove_rows(care: Care, request: Request, state: ErasureState, means: Means) -> None:
    for attempt in range(ROUNDS):
        tables = targets(care, request)
        for target in tables if attempt else ():
            if target.tier == ARCHIVE:
                end_moves(care, target.kind, target.table)  # a running move may copy the rows
        rounds = [(target, found(target, request)) for target in tables]
        if attempt and not any(days for _, days in rounds):
            return
        for target, days in rounds:
            for day in sorted(days):
                means.say(f"removing {days[day]} of {target.name} of {day}")
                state.touch(target.name, day)
                state.save(care.settings)
                remove_found(target, request, day)
    raise StoreError("records of the subject still land", hint="run this release in all flows", retry_after_s=30)


def _delete_files(care: Care, request: Request, state: ErasureState, means: Means, fenced_s: float) -> None:
    rows = {target.name: target for target in targets(care, request)}
    began_s = time.time()
    waiting: list[tuple[Kind | None, erasure_files.Unused, float]] = [
        (target.kind, erasure_files.unused(target.table), began_s) for target in rows.values()
    ]
    waiting += [(None, erasure_files.unused(care.table(name)), fenced_s) for name in state.rollups]
    if any(files.taken_out or files.orphans for _, files, _ in waiting):
        means.say(f"waiting {care.settings.erase_grace_s:g} s for running queries, then deleting files with such rows")
        means.sleep(care.settings.erase_grace_s)
    with translated("leftovers of a killed compaction cannot be deleted"):
        sweep(care.settings.data)
    for kind, files, before_s in waiting:
        gone = erasure_files.delete(care, files, request, kind, before_s)
        state.files = sorted({*state.files, *gone})
        state.save(care.settings)


def _look_again(care: Care, request: Request) -> None:
    found = plan(care, request).rows
    left = {
        name: sum(rows for day, rows in days.items() if not name.startswith("hot/") or day < care.today())
        for name, days in found.items()
    }
    if back := [f"{count} to {name}" for name, count in sorted(left.items()) if count]:
        raise StoreError(f"records of the subject came back: {', '.join(back)}", hint="run `headwater erase --resume`")


def _sign(care: Care, request: Request, state: ErasureState) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "format": 1,
        "id": request.id,
        "tenant": request.tenant,
        "query": request.query,
        "kinds": sorted(kind.value for kind in request.where),
        "received_before": _time(request.at_ns),
        "reason": request.reason,
        "requested_by": request.requested_by,
        "began": _time(state.began_ns),
        "ended": _time(care.now_ns()),
        "removed": [_removed(target, request, state) for target in targets(care, request) if target.name in state.days],
        "hot_days": {kind: sorted(days) for kind, days in sorted(state.hot.items())},
        "rollups": {name: sorted(days) for name, days in sorted(state.rollups.items()) if days},
        "bus": state.bus,
        "files_deleted": list(state.files),
    }
    text = receipts.write(care.settings, request.id, facts)
    reach(SIGNED)
    erasures.finish(care.table(ERASURES), request, care.now_ns(), text)
    state.remove(care.settings)
    return facts


def _removed(target: Target, request: Request, state: ErasureState) -> dict[str, Any]:
    """Rows removed from one table, as counted by its commits."""
    target.table.refresh()
    days = {day: target.table.noted(noted(request, dt.date.fromisoformat(day))) for day in state.days[target.name]}
    counts = {day: count for day, count in sorted(days.items()) if count}
    return {
        "tier": target.tier,
        "kind": target.kind.value,
        "rows": sum(counts.values()),
        "days": counts,
        "version": target.table.version,
    }


def _time(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
