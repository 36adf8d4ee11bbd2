"""Before rows are removed: the flows know of the erasure, and what they read before they knew has landed.

A flow looks for erasures every `erase_look_s`. What is on the bus when all of them have looked was read before, and
lands; what comes later is dropped. Where no flow runs, the next start looks first. Imports are told by a fence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from contracts.bus import Bus
from contracts.errors import StoreError
from contracts.messages import Kind
from lakehouse.delta.races import retried
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import Request, fence
from lakehouse.lake.erasure_tests import TESTED
from lakehouse.upkeep.care import Care

PAUSE_S = 0.1
_ALONE = "tantivy:"


def flow_runs(care: Care, kind: Kind) -> bool:
    """Whether a flow has the hot store of `kind` open; of an engine that admits several, nobody can say: True."""
    if not care.settings.hot.startswith(_ALONE):
        return True
    try:
        care.hot.writer(kind).close()
    except StoreError:
        return True
    return False


def fence_imports(care: Care, request: Request) -> None:
    """Make each commit of an import fail that looked for erasures before this one had its tombstone. Idempotent.

    Raises:
        StoreError: Others changed the tables all the time, or they cannot be written.
    """
    for kind in request.where:
        table = care.table(kind.value)
        retried(table, partial(_fence, table))


def _fence(table: Delta) -> None:
    table.note(fence(table))


def wait_for_flows(
    care: Care,
    request: Request,
    bus: Bus,
    flows_run: bool | None,
    sleep: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when what was accepted before is in the stores, or nobody is there to bring it.

    Raises:
        StoreError: The flows are too far behind.
        BusError: The bus cannot be asked.
    """
    if flows_run is False:
        return
    kinds = [kind for kind in request.where if flows_run or flow_runs(care, kind)]
    if not kinds and not flows_run and not any(flow_runs(care, kind) for kind in TESTED):
        return
    sleep(2 * care.settings.erase_look_s)
    deadline_s = clock() + care.settings.erase_wait_s
    for group in (kinds, [Kind.DEAD_LETTERS]):  # the letters that the others have written, after them
        ends = {kind: _ends(care, bus, kind) for kind in group}
        while lagging := [kind for kind in group if _lags(care, kind, ends[kind])]:
            if clock() > deadline_s:
                raise _late(lagging, care.settings.erase_wait_s)
            sleep(PAUSE_S)


def _ends(care: Care, bus: Bus, kind: Kind) -> dict[int, int]:
    """The place after the last message of each partition; of a bus that was never read, none that could be reached."""
    extents = {part: extent for part, extent in bus.extents(kind.topic).items() if extent.next_offset > 0}
    bases = care.lake.bases(kind, bus.identity(kind.topic), extents)
    return {part: (bases[part].own or 0) + extent.next_offset for part, extent in extents.items()}


def _lags(care: Care, kind: Kind, ends: dict[int, int]) -> bool:
    stores = [care.lake.checkpoints(kind)]
    if kind is not Kind.DEAD_LETTERS:
        stores.append(care.hot.checkpoints(kind))
    return any(store.get(part, 0) < end for store in stores for part, end in ends.items())


def _late(kinds: Sequence[Kind], waited_s: float) -> StoreError:
    names = ", ".join(kind.value for kind in kinds)
    return StoreError(
        f"the flows of {names} have not landed within {waited_s:g} s what was accepted before the erasure",
        hint="see `headwater status`; the tombstone stands: `headwater erase --resume` goes on. "
        "Where no flow runs, say so with --no-flows",
        retry_after_s=30,
    )
