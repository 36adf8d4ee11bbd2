"""Imports: parsed batches of old records -> rows of the lake, without repeats, on the days of their event times.

An imported row has the bus partition `IMPORTED` and an offset of its own. One commit holds the rows, the progress of
the import, and the number of rows ever imported for the tenant. So a killed import continues after its last commit, and
the conservation equation holds at every instant.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deltalake.exceptions import CommitFailedError
from msgspec import structs

from contracts.batches import IMPORTED, Batch, arrival_day
from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from contracts.records import Row
from contracts.tenants import Tenant
from lakehouse.delta.notes import with_imported
from lakehouse.delta.races import retried
from lakehouse.delta.schemas import LEDGER, pending_table, pipeline_version, record_batch, sorted_rows
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import fence
from lakehouse.lake.writer import Account, ledger_rows
from lakehouse.upkeep.care import Care

LANDED = failpoint("import.landed", "a part of the file is in the lake, together with the progress of the import")

ALL = 1 << 40  # number of parts that stands for the whole file

_NEXT = "imports:next"


def next_offset(table: Delta) -> int:
    """Next offset of the partition `IMPORTED` in this handle's version; all imported rows have a smaller offset."""
    return table.noted(_NEXT) or 0


def by_day(batch: Batch) -> list[Batch]:
    """Split `batch` by the day of its event times; a part's arrival time is the event time of its last row."""
    days: dict[dt.date, list[Row]] = {}
    for row in batch.rows:
        days.setdefault(arrival_day(row.timestamp_ns), []).append(row)
    parts = []
    for _, rows in sorted(days.items()):
        header = structs.replace(batch.header, received_ns=max(row.timestamp_ns for row in rows))
        parts.append(Batch(header, batch.partition, batch.offset, rows, received=len(rows)))
    return parts


@dataclass(frozen=True, slots=True)
class Import:
    """Import of one file. Not thread-safe. If two processes import the same file, its rows land once.

    Attributes:
        name: The same for the same content, tenant and options.
    """

    care: Care
    kind: Kind
    tenant: Tenant
    name: str

    @property
    def _progress(self) -> str:
        return f"import:{self.name}"

    def done(self) -> int:
        """Number of parts of the file that have landed; `ALL`: the whole file.

        Raises:
            StoreError: The lake cannot be read.
        """
        return self.care.table(self.kind.value).noted(self._progress) or 0

    def introduce(self) -> None:
        """Add an empty account of this kind for the tenant, as the ledger lists all tenants. Idempotent.

        Raises:
            StoreError: The ledger cannot be written now.
        """
        ledger = self.care.table(LEDGER)
        noted = f"import:{self.kind}:{self.tenant}"
        if ledger.noted(noted) is None:
            nothing = Account(self.tenant, IMPORTED, 0, 0, self.care.today())
            with contextlib.suppress(CommitFailedError):  # another import was first
                ledger.add(ledger_rows(self.kind, [nothing]), {noted: 1})

    def recent_from(self, day: dt.date) -> dt.date:
        """`day` of the first call for this import, so that an import that continues later splits the records alike.

        Raises:
            StoreError: The lake cannot be read or written now.
        """
        table, noted = self.care.table(self.kind.value), f"{self._progress}:recent"
        if table.noted(noted) is None:
            with contextlib.suppress(CommitFailedError):  # another process was first
                table.note({noted: day.toordinal()})
            table.reopen()
        return dt.date.fromordinal(table.noted(noted) or day.toordinal())

    def land(
        self,
        batches: Sequence[Batch],
        before: int,
        after: int,
        kept: Callable[[Sequence[Batch]], Sequence[Batch]] = lambda batches: batches,
    ) -> Sequence[Batch]:
        """Make the rows durable and note that `after` parts have landed. Does nothing if that is noted already.

        Args:
            kept: Removes records that are erased at the time of the call. If an erasure begins between this call and
                the commit, the commit fails and `kept` is called again.

        Returns:
            The batches that landed.

        Raises:
            StoreError: Either no row or all rows have landed, and the same call may be repeated; or another process
                continues the same import.
        """
        table = self.care.table(self.kind.value)

        def landed() -> Sequence[Batch]:
            known = table.noted(self._progress) or 0
            if known in (after, ALL):
                return ()
            if known != before:
                raise StoreError(f'import "{self.name}" runs in another process', hint="wait until that one has ended")
            landing = kept(batches)
            self._commit(table, landing, after)
            reach(LANDED)
            return landing

        return retried(table, landed, hint="start the import again")

    def _commit(self, table: Delta, batches: Sequence[Batch], after: int) -> None:
        numbers = {self._progress: after} | fence(table)
        filled = [batch for batch in batches if batch.rows]
        if not filled:
            table.note(numbers)
            return
        first = table.noted(_NEXT) or 0
        pipeline = f"{pipeline_version()} import {self.name}"
        placed = [replace(batch, partition=IMPORTED, offset=first + at) for at, batch in enumerate(filled)]
        rows = pending_table(self.kind, [record_batch(batch, pipeline) for batch in placed])
        numbers |= {_NEXT: first + len(placed)} | with_imported(table, {self.tenant: rows.num_rows})
        table.add(sorted_rows(rows), numbers)
