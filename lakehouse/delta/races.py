"""Lost races: work that ends in a commit to a table → done again on the newest version until it is committed.

Delta lets one of two commits from the same version pass when they touch the same rows or numbers. The other has to look
again before it may commit, so the work is more than the commit: it begins with what is read of the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from lakehouse.delta.table import Delta

ATTEMPTS = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

T = TypeVar("T")


def retried(table: Delta, work: Callable[[], T], hint: str = "the same call may be repeated") -> T:
    """What `work` answers. It is called again, with `table` at its newest version, for each race that it loses.

    Args:
        work: Looks at the table and commits to it; a lost race is a `CommitFailedError`, and nothing happened.
        hint: For whom it goes wrong every time: what to do.

    Raises:
        StoreError: Others were first `ATTEMPTS` times in a row, over some four seconds.
    """
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except CommitFailedError:
            time.sleep(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
            table.reopen()
    raise StoreError(f"{table.what} was changed by others {ATTEMPTS} times in a row", hint=hint, retry_after_s=5)
