"""Erasure in the hot store: days that hold the subject's records -> forgotten, then rebuilt from the lake."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.lake.erasure_requests import Request, days_with
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure.state import ErasureState
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot

PAUSE_S = 0.2
FORGOTTEN = failpoint("erase.hot_forgotten", "a day with records of the subject is removed from the hot store")

log = logging.getLogger("headwater.tiers")


def note_days(care: Care, request: Request, state: ErasureState) -> None:
    """Save which days hold such records now; `rebuild` restores all of them, also those that a flow forgets."""
    for kind in request.where:
        for day in days_with(care.hot, kind, request):
            state.forgot(kind.value, day)
    state.save(care.settings)


def forget(
    care: Care,
    request: Request,
    state: ErasureState,
    sleep: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when no day in the hot store holds such records. A flow forgets the days that it has open. Idempotent.

    Raises:
        StoreError: A flow did not forget a day in time; the same call may be repeated.
    """
    deadline_s = clock() + care.settings.erase_wait_s
    for kind in request.where:
        while days := days_with(care.hot, kind, request):
            for day in days:
                state.forgot(kind.value, day)
            state.save(care.settings)
            refused = [day for day in days if not _forgotten(care, kind, day)]
            if not refused:
                continue
            if clock() > deadline_s:
                raise StoreError(
                    f"a flow did not remove {refused[0]} of {kind.value} from the hot store",
                    hint="restart the flows, then run `headwater erase --resume`",
                    retry_after_s=30,
                )
            sleep(PAUSE_S)


def _forgotten(care: Care, kind: Kind, day: dt.date) -> bool:
    try:
        care.hot.forget(kind, day)
    except StoreError:  # a flow writes this kind and forgets the day when it reads the tombstone
        return False
    reach(FORGOTTEN)
    return True


def rebuild(care: Care, state: ErasureState) -> None:
    """Rebuild the forgotten closed days from the lake. If a rebuild fails, the lake answers for that day."""
    for name, days in sorted(state.hot.items()):
        for text in sorted(days):
            day = dt.date.fromisoformat(text)
            if day >= care.today() or day in care.hot.days(Kind(name)):
                continue
            try:
                rebuild_hot(care, Kind(name), day)
            except StoreError as error:
                log.warning("%s of %s not rebuilt in the hot store, the lake answers for the day: %s", name, day, error)
