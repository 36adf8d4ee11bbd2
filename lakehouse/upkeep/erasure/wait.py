"""Wait: an erasure -> every flow knows of the erasure, and every earlier record has landed.

A flow reads the table `erasures` every `erase_look_s`. The erasure waits until all flows have read its tombstone, and
then until all messages that are on the bus at that time have landed; later records of the subject are dropped. If no
flow runs, the next start reads the table first. Running imports are stopped by a fence: a transaction number that makes
their next commit fail.
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
    """True if a flow has the hot store of `kind` open, or if the engine admits several writers."""
    if not care.settings.hot.startswith(_ALONE):
        return True
    try:
        care.hot.writer(kind).close()
    except StoreError:
        return True
    return False


def fence_imports(care: Care, request: Request) -> None:
    """Make the next commit fail of every import that read the erasures before this tombstone. Idempotent.

    Raises:
        StoreError: The tables cannot be written, or other processes changed them during every attempt.
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
    """Return when all records accepted before are in the stores, or no flow runs.

    Raises:
        StoreError: The flows are too far behind.
        BusError: The bus cannot be read.
    """
    if flows_run is False:
        return
    kinds = [kind for kind in request.where if flows_run or flow_runs(care, kind)]
    if not kinds and not flows_run and not any(flow_runs(care, kind) for kind in TESTED):
        return
    sleep(2 * care.settings.erase_look_s)
    deadline_s = clock() + care.settings.erase_wait_s
    for group in (kinds, [Kind.DEAD_LETTERS]):  # the other flows write dead letters, so these come last
        ends = {kind: _ends(care, bus, kind) for kind in group}
        while lagging := [kind for kind in group if _lags(care, kind, ends[kind])]:
            if clock() > deadline_s:
                raise _late(lagging, care.settings.erase_wait_s)
            sleep(PAUSE_S)


def _ends(care: Care, bus: Bus, kind: Kind) -> dict[int, int]:
    """The offset after the last message of each partition, as the lake counts (from 0 if no flow has read this bus)."""
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
        f"the flows of {names} did not land all earlier records within {waited_s:g} s",
        hint="check `headwater status`, then run `headwater erase --resume` (the tombstone stands); "
        "add --no-flows if no flow runs",
        retry_after_s=30,
    )
