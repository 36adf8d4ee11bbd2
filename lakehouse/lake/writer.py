"""Batches of one kind -> rows in its Delta table, then one account of them in the table `ledger`.

Exactly once: rows are committed together with the app transactions "<kind>:<partition>" = next offset; the ledger's
commit, with the same transactions, comes last and is the checkpoint that a replay starts from. A crash between the two
leaves rows without an account: the replay skips the rows (by offset) and writes the account.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import QueryBuilder

from contracts.batches import Batch, arrival_day
from contracts.errors import StoreError
from contracts.messages import ERASED, Kind
from contracts.records import attributes_text
from contracts.settings import Settings
from lakehouse.delta.races import retried
from lakehouse.delta.schemas import LEDGER, SCHEMAS, pending_table, pipeline_version, record_batch, sorted_rows
from lakehouse.delta.table import Delta, translated
from lakehouse.s3.store import writing_options

_LOG = logging.getLogger(__name__)

COMPACT_COMMITS = 100  # small commits of a table after which its open day is compacted
SMALL_COMMIT_ROWS = 50_000
CLEAN_LOG_COMMITS = 60
VACUUM_COMPACTIONS = 10


@dataclass(slots=True)
class Account:
    """What became of the records of some offsets of one partition."""

    tenant: str
    partition: int
    first_offset: int
    next_offset: int
    day: dt.date
    received: int = 0
    landed: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def add(self, other: Account) -> None:
        self.first_offset = min(self.first_offset, other.first_offset)
        self.next_offset = max(self.next_offset, other.next_offset)
        self.received += other.received
        self.landed += other.landed
        self.duplicates += other.duplicates
        self.dead_lettered += other.dead_lettered
        self.lost += other.lost
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def account_of(batch: Batch) -> Account:
    return Account(
        tenant=batch.header.tenant,
        partition=batch.partition,
        first_offset=batch.offset,
        next_offset=batch.next_offset,
        day=batch.day,
        received=batch.received,
        landed=len(batch.rows),
        duplicates=batch.duplicates,
        dead_lettered=len(batch.rejects),
        dropped=dict(batch.dropped),
    )


class LakeWriter:
    """The writer of one kind; see the module. Not thread-safe; two at once are safe, and the slower one repeats work.

    Memory is bounded: `append` commits by itself when `lake_commit_rows` rows wait.

    Attributes:
        before_commit: Called before rows become visible; what it raises puts the commit off.
    """

    def __init__(
        self,
        url: str,
        kind: Kind,
        settings: Settings,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.kind = kind
        self._limit = settings.lake_commit_rows
        self._now_ns = now_ns
        self._pipeline = pipeline_version()
        options = writing_options(url, settings)
        self._rows = Delta(url, kind.value, options)
        self._ledger = Delta(url, LEDGER, options)
        self._done = self._ledger.landed(kind.value)
        self._unaccounted = self._rows.landed(kind.value)  # past `_done`: rows that a crash left without an account
        self._next = dict(self._done)
        self._pending: list[pa.RecordBatch] = []
        self._accounts: list[Account] = []
        self._upkeep = {table.name: CommitUpkeep(table) for table in (self._rows, self._ledger)}
        self.pending_rows = 0
        self.before_commit: Callable[[], object] = _nothing

    def checkpoints(self) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is in the lake and accounted for."""
        return dict(self._done)

    def append(self, batches: Sequence[Batch]) -> None:
        """Buffer rows and accounts; ticks and batches appended before are skipped. Not durable until `commit`.

        Raises:
            StoreError: The buffer is full and cannot be committed now. What was taken stays; the same call may be
                repeated.
        """
        for batch in batches:
            if batch.tick or batch.offset < self._next.get(batch.partition, 0):
                continue
            if self.pending_rows >= self._limit:
                self.commit()
            account = self._account(batch)
            if batch.rows:
                self._pending.append(record_batch(batch, self._pipeline))
                self.pending_rows += len(batch.rows)
            self._accounts.append(account)
            self._next[batch.partition] = batch.next_offset

    def _account(self, batch: Batch) -> Account:
        """Rows that were erased after a crash left them without an account have landed all the same, while they are
        there: who removes them counts them."""
        account = account_of(batch)
        if batch.dropped.get(ERASED) and batch.offset < self._unaccounted.get(batch.partition, 0):
            self._rows.refresh()
            there = sum(rows for _, rows in rows_between(self._rows, batch.partition, batch.offset, batch.next_offset))
            still = min(max(0, there - account.landed), account.dropped[ERASED])
            account.landed += still
            account.dropped[ERASED] -= still
        return account

    def note_lost(self, partition: int, first: int, next_offset: int, count: int | None = None) -> None:
        """Account for offsets that cannot be read; the checkpoint moves past them with the next commit. Idempotent.

        `count`: how many messages are known to have been there; None: one at each offset. Rows that a crash left in the
        table without an account, and that cannot be read again to make it, get it here.

        Raises:
            StoreError: The table cannot be read; the same call may be repeated.
        """
        first = max(first, self._next.get(partition, 0))
        if next_offset <= first:
            return
        day = arrival_day(self._now_ns())
        landed = min(next_offset, max(first, self._rows.landed(self.kind.value).get(partition, 0)))
        if landed > first:
            found = rows_between(self._rows, partition, first, landed)
            self._accounts += [
                Account(tenant, partition, first, landed, day, received=rows, landed=rows) for tenant, rows in found
            ]
        lost = next_offset - landed if count is None else count
        self._accounts.append(Account("", partition, landed, next_offset, day, lost=lost))
        self._next[partition] = next_offset

    def commit(self) -> None:
        """Make everything appended durable: rows first, the ledger last. Blocks; without anything to do, does nothing.

        Raises:
            StoreError: The buffer is kept; the same call may be repeated.
        """
        if not self._accounts:
            return
        self.before_commit()
        if self._pending:
            rows = pending_table(self.kind, self._pending)
            self._once(self._rows, lambda landed: rows_after(rows, landed))
            self._pending, self.pending_rows = [], 0
        self._once(self._ledger, lambda landed: ledger_rows(self.kind, accounts_after(self._accounts, landed)))
        self._accounts = []
        self._done = dict(self._next)

    def _once(self, table: Delta, rows_past: Callable[[Mapping[int, int]], pa.Table]) -> None:
        def appended() -> None:
            table.refresh()
            landed = already_landed(table, self.kind)
            rows = rows_past(landed)
            if rows.num_rows:
                ahead = {part: end for part, end in self._next.items() if end > landed.get(part, 0)}
                table.append(self.kind.value, rows, ahead)
                self._upkeep[table.name].after_commit(rows)

        retried(table, appended, hint="run one flow per kind")

    def close(self) -> None:
        """Let go without committing. Idempotent."""
        self._pending, self._accounts, self.pending_rows = [], [], 0
        self._next = dict(self._done)


def _nothing() -> None:
    pass


class CommitUpkeep:
    """Keeps the open day's files few and the log short: compaction after every `COMPACT_COMMITS` small commits."""

    def __init__(self, table: Delta) -> None:
        self._table = table
        self._days: set[str] = set()
        self._small = 0
        self._compactions = 0
        self._commits = 0

    def after_commit(self, rows: pa.Table) -> None:
        self._commits += 1
        try:
            if self._commits % CLEAN_LOG_COMMITS == 0:
                self._table.clean_log()
            self._compact(rows)
        except StoreError as error:  # the rows are committed; the next round tries again
            _LOG.warning("upkeep of lake table %s was put off: %s", self._table.name, error)

    def _compact(self, rows: pa.Table) -> None:
        if rows.num_rows >= SMALL_COMMIT_ROWS:
            return
        self._small += 1
        self._days.update(str(day) for day in rows.column("day").unique().to_pylist())
        if self._small < COMPACT_COMMITS:
            return
        days, self._days, self._small = sorted(self._days), set(), 0
        self._compactions += 1
        self._table.compact(days)
        if self._compactions % VACUUM_COMPACTIONS == 0:
            self._table.vacuum()


def already_landed(table: Delta, kind: Kind) -> Mapping[int, int]:
    """The decision that makes a replay harmless: offsets before these are in `table` and must not be written again."""
    return table.landed(kind.value)


def rows_between(table: Delta, partition: int, first: int, end: int) -> list[tuple[str, int]]:
    """How many rows of each tenant stand at these offsets of a bus partition."""
    with translated(f'lake table "{table.name}" cannot be read'):
        builder = QueryBuilder()
        table.register(builder)
        answer = builder.execute(
            f"SELECT tenant, count(*) AS n FROM {table.name} WHERE bus_partition = {partition:d}"
            f" AND bus_offset >= {first:d} AND bus_offset < {end:d} GROUP BY tenant ORDER BY tenant"
        )
        return [(row["tenant"], row["n"]) for row in pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()]


def rows_after(rows: pa.Table, landed: Mapping[int, int]) -> pa.Table:
    """The rows at or past the next-offsets `landed`, sorted for the table."""
    for partition, next_offset in landed.items():
        here = pc.equal(rows.column("bus_partition"), pa.scalar(partition, pa.int32()))
        there = pc.and_(here, pc.less(rows.column("bus_offset"), pa.scalar(next_offset, pa.int64())))
        if pc.any(there).as_py():
            rows = rows.filter(pc.invert(there))
    return sorted_rows(rows) if rows.num_rows else rows


def accounts_after(accounts: Iterable[Account], landed: Mapping[int, int]) -> list[Account]:
    """The accounts at or past `landed`, one per (tenant, partition) and run of messages that arrived on one day: an
    account that went over several days could be held against the rows of none of them."""
    sums: list[Account] = []
    last: dict[tuple[str, int], Account] = {}
    for account in accounts:
        if account.first_offset < landed.get(account.partition, 0):
            continue
        key = (account.tenant, account.partition)
        if key in last and last[key].day == account.day:
            last[key].add(account)
        else:  # a copy: a commit that lost a race sums again
            last[key] = replace(account, dropped=dict(account.dropped))
            sums.append(last[key])
    return sums


def ledger_rows(kind: Kind, accounts: Sequence[Account]) -> pa.Table:
    names = [name for name in SCHEMAS[LEDGER].names if name not in ("bus_partition", "kind", "dropped")]
    columns: dict[str, list[object]] = {name: [getattr(account, name) for account in accounts] for name in names}
    columns["kind"] = [kind.value] * len(accounts)
    columns["bus_partition"] = [account.partition for account in accounts]
    columns["dropped"] = [attributes_text(account.dropped) for account in accounts]
    return pa.table(columns, SCHEMAS[LEDGER])
