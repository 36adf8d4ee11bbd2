"""Erasure: a subject (tenant and query) -> none of its records in any tier, nor on the bus, and a receipt.

Each step can be run again, and is: what a crash left is finished by `resume`. In this order:

1. The tombstone, in the table `erasures`: from here on flows drop such records, whatever is replayed.
2. The flows are waited for: what was accepted before has landed, or will be dropped.
3. The rows go, from lake, archive and dead letters, until a look finds none.
4. The hot store forgets the days that held them; closed ones are rebuilt from the lake. Rollups are counted anew.
5. On the bus file their lines are blanked; Kafka cannot, and its topics keep the bytes until their retention ends.
6. After a grace for running queries, the files that held them are deleted.
7. The receipt, as a file and in the table `erasures`.
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

ROUNDS = 5  # rows that move or land meanwhile are met in the next one
TOLD = failpoint("erase.told", "the tombstone stands, everything else does")
BLANKED = failpoint("erase.bus_blanked", "some messages of the bus are without the subject's records")
SIGNED = failpoint("erase.receipt_written", "all is gone and the receipt is a file, the table does not say so yet")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Means:
    """What an erasure needs beside the tables.

    Attributes:
        bus: To see what was accepted and has not landed.
        erase_on_bus: Blanks the subject's lines on the bus, calls its second argument after each step, and says by
            topic what it did.
        flows_run: Whether flows run; None: found out, which only the embedded hot store can tell.
        say: Hears what is being done.
        sleep: Seconds.
    """

    bus: Bus
    erase_on_bus: Callable[[Request, Callable[[], object]], Mapping[str, Mapping[str, Any]]]
    flows_run: bool | None = None
    say: Say = lambda _what: None
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would remove: rows by table ("lake/logs", "archive/logs", "hot/logs") and day."""

    rows: Mapping[str, Mapping[dt.date, int]]

    @property
    def total(self) -> int:
        """Of records: what the hot store holds is in the lake too."""
        return sum(sum(days.values()) for name, days in self.rows.items() if not name.startswith("hot/"))


def plan(care: Care, request: Request) -> ErasurePlan:
    """Look at everything, change nothing.

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
    """Do all of it; the receipt's facts. Blocks for a grace at least. Idempotent: killed, the same call completes it.

    Raises:
        StoreError, BusError: It could not be finished, and why; the tombstone stands, the same call goes on.
    """
    erasures.checked(request)
    note_days(
        care, request, ErasureState.of(care.settings, request.id, care.now_ns())
    )  # flows that run soon forget them
    erasures.begin(care.table(ERASURES), request, care.now_ns())
    reach(TOLD)
    return _finish(care, request, means)


def unfinished(care: Care) -> Sequence[Request]:
    """Erasures that began and did not end."""
    return erasures.unfinished(care.table(ERASURES))


def resume(care: Care, erasure: str, means: Means) -> dict[str, Any] | None:
    """Complete an erasure that began; None when there is none of that id that is unfinished. Raises as `erase`."""
    request = next((each for each in unfinished(care) if each.id == erasure), None)
    return None if request is None else _finish(care, request, means)


def _finish(care: Care, request: Request, means: Means) -> dict[str, Any]:
    state = ErasureState.of(care.settings, request.id, care.now_ns())
    fence_imports(care, request)
    means.say("waiting until the flows have landed what was accepted before")
    wait_for_flows(care, request, means.bus, means.flows_run, means.sleep)
    _remove_rows(care, request, state, means)
    means.say("taking the days that held such records out of the hot store")
    forget(care, request, state, means.sleep)
    fenced_s = time.time()  # sums that were written down before it can be in no version any more
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
                end_moves(care, target.kind, target.table)  # the copy that one is making may have the rows
        rounds = [(target, found(target, request)) for target in tables]
        if attempt and not any(days for _, days in rounds):
            return
        for target, days in rounds:
            for day in sorted(days):
                means.say(f"removing {days[day]} of {target.name} of {day}")
                state.touch(target.name, day)
                state.save(care.settings)
                remove_found(target, request, day)
    raise StoreError("records of the subject go on landing", hint="are all flows of this release?", retry_after_s=30)


def _delete_files(care: Care, request: Request, state: ErasureState, means: Means, fenced_s: float) -> None:
    rows = {target.name: target for target in targets(care, request)}
    began_s = time.time()
    waiting: list[tuple[Kind | None, erasure_files.Unused, float]] = [
        (target.kind, erasure_files.unused(target.table), began_s) for target in rows.values()
    ]
    waiting += [(None, erasure_files.unused(care.table(name)), fenced_s) for name in state.rollups]
    if any(files.taken_out or files.orphans for _, files, _ in waiting):
        means.say(f"leaving running queries {care.settings.erase_grace_s:g} s, then deleting the files that held them")
        means.sleep(care.settings.erase_grace_s)
    with translated("what a killed compaction left cannot be deleted"):
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
        raise StoreError(f"records of the subject came back: {', '.join(back)}", hint="resume the erasure")


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
    """As the table's own commits say."""
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
