"""Lost races: work that reads a table and commits to it -> repeated on the newest version until the commit succeeds.

If two commits from the same version change the same rows or numbers, Delta accepts one of them. The loser must read the
table again before it commits, so a retry repeats the reading too, not only the commit.
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
    """Call `work` and return its result. After a lost race, `work` is called again with `table` at its newest version.

    Args:
        work: Reads the table and commits to it; raises `CommitFailedError` for a lost race, without any effect.
        hint: Remedy in the error, if all attempts fail.

    Raises:
        StoreError: Other commits were first `ATTEMPTS` times in a row, within about four seconds.
    """
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except CommitFailedError:
            time.sleep(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
            table.reopen()
    raise StoreError(f"{table.what} was changed by others in {ATTEMPTS} attempts", hint=hint, retry_after_s=5)
