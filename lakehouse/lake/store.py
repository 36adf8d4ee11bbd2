"""The lake: Delta tables under one URL -> writers, pinned snapshots to query, checkpoints, ledger sums, sizes.

Reads go through `snapshot`: one version of one table with the offsets that had landed in it, queried by SQL that is
built from a validated tree (`lake_query`), never from a user's text. Time, memory and concurrency are bounded.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from contracts.answers import LedgerTotal
from contracts.messages import Kind
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.delta.notes import gone, imported
from lakehouse.delta.schemas import LEDGER, SCHEMAS
from lakehouse.delta.table import Delta
from lakehouse.delta.tables import Tables
from lakehouse.lake.archive import ARCHIVE, Archive, ArchivedFile, days_of, finished_moves
from lakehouse.lake.numbering import Base, base_in, note_bases
from lakehouse.lake.snapshot import QueryPool, Snapshot
from lakehouse.lake.vacuum import Vacuum, vacuum
from lakehouse.lake.writer import LakeWriter
from lakehouse.s3.store import writing_options
from lakehouse.sql.coverage import places
from lakehouse.sql.literals import text_literal

_LEDGER_SQL = """
SELECT tenant, kind, dropped, count(*) AS n, sum(received) AS received, sum(landed) AS landed,
    sum(duplicates) AS duplicates, sum(dead_lettered) AS dead_lettered, sum(lost) AS lost
FROM ledger {where} GROUP BY tenant, kind, dropped"""


_LOSSES_SQL = """
SELECT kind, bus_partition, first_offset, lost FROM ledger WHERE day >= DATE '{since}' AND lost > 0
ORDER BY kind, bus_partition, first_offset"""


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages of one partition that a flow found gone from the bus; `first` counts as checkpoints do."""

    kind: Kind
    partition: int
    first: int
    messages: int


@dataclass(frozen=True, slots=True)
class TableSize:
    """What one table holds: the newest version's rows, files, bytes (Parquet, without the log) and arrival days."""

    kind: str
    rows: int
    files: int
    bytes: int
    days: int


class Lake:
    """Reads are thread-safe. Opening creates missing tables when they are first looked at.

    Args:
        url: Folder, or s3://bucket/prefix.

    Raises:
        ConfigError: The URL, or the settings of its object store, cannot work.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings
        self._tables = Tables(url, settings)
        self._pool = QueryPool(settings)
        self._archive = Archive(settings, self._pool)
        self._lock = threading.Lock()
        self._moves: dict[str, tuple[int, int]] = {}  # by table: as of which version, how many
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def writer(self, kind: Kind) -> LakeWriter:
        """Open the tables to write; the first time on an S3 server, only after it has shown that it loses no commits.

        Raises:
            ConfigError: It would lose some.
            StoreError: They cannot be opened now; the same call may be repeated.
        """
        self._ensure_safe()
        return LakeWriter(self._url, kind, self._settings)

    def _ensure_safe(self) -> None:
        if self._tables.store is not None:
            from lakehouse.s3.probe import ensure_safe

            ensure_safe(self._tables.store, self._settings.data)

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is in the lake and accounted for."""
        with self._newest(LEDGER) as table:
            return table.landed(kind.value)

    def landed(self, kind: Kind) -> Mapping[int, int]:
        """Next offset by bus partition that reads of a kind's table see; a crash may put it ahead of `checkpoints`.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(kind.value) as table:
            return table.landed(kind.value)

    def identity(self) -> int:
        """Of this lake: another one that is made in its place has another.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(LEDGER) as table:
            return table.identity

    def bases(self, kind: Kind, identity: str, partitions: Iterable[int]) -> Mapping[int, Base]:
        """What is noted of the bus with that identity, by bus partition.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(LEDGER) as table:
            return {partition: base_in(table, kind, identity, partition) for partition in partitions}

    def note_bases(self, kind: Kind, identity: str, bases: Mapping[int, int]) -> Mapping[int, Base]:
        """Note where the places of a bus begin, unless that is known; what holds then. See `lakehouse.lake.numbering`.

        Raises:
            ConfigError, StoreError: As of `writer`.
        """
        self._ensure_safe()
        ledger = Delta(self._url, LEDGER, writing_options(self._url, self._settings))
        return note_bases(ledger, kind, identity, bases)

    def snapshot(self, kind: Kind, with_landed: bool = False) -> Snapshot:
        """Pin the newest version of a kind's table, and with it (when asked) the offsets that had landed.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(kind.value) as table:
            landed = table.landed(kind.value) if with_landed else {}
            return Snapshot(table, landed, self._pool, self._settings, self._moves_in(table))

    def _moves_in(self, table: Delta) -> int:
        version, moves = self._moves.get(table.name, (-1, 0))
        if version != table.version:
            moves = finished_moves(table)
            self._moves[table.name] = (table.version, moves)
        return moves

    def pin_archive(self, kind: Kind, moves: int, into: Snapshot) -> Sequence[ArchivedFile]:
        """Make the archive's newest version known in `into`; its files as of `moves`, which was pinned before.

        Raises:
            StoreError: The archive cannot be read.
        """
        return self._archive.pin(kind, moves, into)

    def archived(self, kind: Kind, moves: int) -> Sequence[ArchivedFile]:
        """The archive's files as of `moves`, most often from memory; without a move, nothing is asked.

        Raises:
            StoreError: The archive cannot be read.
        """
        return self._archive.known(kind, moves)

    def rollup(self, name: str) -> Snapshot:
        """Pin the newest version of a rollup table; `landed`: the raw points before these offsets are in it.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(name) as table:
            return Snapshot(table, places(table, Kind.METRICS), self._pool, self._settings)

    def scratch(self, kind: Kind) -> Snapshot:
        """An empty table of `kind`, for questions about the hot store's records when the lake cannot be read."""
        with self._lock:
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="headwater-scratch-")
            return Snapshot(Delta(self._scratch.name, kind.value), {}, self._pool, self._settings)

    def ledger(self, tenant: Tenant | None) -> Sequence[LedgerTotal]:
        """The account per tenant and kind; None is every tenant. Offsets that expired unread have tenant "".

        `stored` counts the rows before the ledger's own offsets: those that have an account; `dropped` has also those
        that retention or an erasure removed.

        Raises:
            StoreError: The lake cannot be read; or the archive, once a day was moved there.
        """
        where = "" if tenant is None else f"WHERE tenant = {text_literal(tenant)}"
        with self._newest(LEDGER) as newest:
            snapshot = Snapshot(newest, {}, self._pool, self._settings)
            known = {kind: newest.landed(kind.value) for kind in Kind}
        sums: dict[tuple[str, str], dict[str, Any]] = {}
        for row in snapshot.query(_LEDGER_SQL.format(where=where)).to_pylist():
            _add(sums.setdefault((row["tenant"], row["kind"]), {"dropped": {}}), row)
        for kind in {kind for _, kind in sums}:
            totals = {name: total for (name, of), total in sums.items() if of == kind}
            self._add_stored(Kind(kind), where, known[Kind(kind)], totals)
        return [LedgerTotal(Tenant(name), Kind(kind), **total) for (name, kind), total in sorted(sums.items())]

    def losses(self, since: dt.date) -> Sequence[Loss]:
        """What flows have counted as lost on that day and later.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(LEDGER) as newest:
            snapshot = Snapshot(newest, {}, self._pool, self._settings)
        rows = snapshot.query(_LOSSES_SQL.format(since=since.isoformat())).to_pylist()
        return [Loss(Kind(row["kind"]), row["bus_partition"], row["first_offset"], row["lost"]) for row in rows]

    def _add_stored(self, kind: Kind, where: str, known: Mapping[int, int], totals: dict[str, dict[str, Any]]) -> None:
        with self._newest(kind.value) as table:  # the lake before the archive, each with what it lost: one moment
            landed, moves = table.landed(kind.value), self._moves_in(table)
            snapshot = Snapshot(table, landed, self._pool, self._settings, moves)
            removed, added = gone(table, totals), imported(table, totals)
        archived, removed_there = self._archive.account(kind, moves, totals)
        stored = _stored(snapshot, where, known)
        for tenant, total in totals.items():
            total["stored"] = stored.get(tenant, 0) + archived.get(tenant, 0)
            total["imported"] = added.get(tenant, 0)
            for counts in (removed.get(tenant, {}), removed_there.get(tenant, {})):
                _add_counts(total["dropped"], counts)

    def tables(self) -> Sequence[TableSize]:
        """The size of every table of the lake, from file statistics alone.

        Raises:
            StoreError: The lake cannot be read.
        """
        sizes = []
        always = [*(kind.value for kind in Kind), LEDGER]
        for name in [*always, *(name for name in SCHEMAS if name not in always and self._tables.has(name))]:
            with self._newest(name) as table:
                files = table.files()
            rows, size = (sum(file[column] for file in files) for column in ("num_records", "size_bytes"))
            days = {file["partition.day"] for file in files if "partition.day" in file}
            sizes.append(TableSize(name, rows, len(files), size, len(days)))
        return sizes

    def archive_tables(self) -> Sequence[TableSize]:
        """What the archive holds of each kind that a day was moved of; without any, it is not asked.

        Raises:
            StoreError: The lake or the archive cannot be read.
        """
        found = [(kind, self.archived(kind, self.snapshot(kind).moves)) for kind in Kind]
        return [
            TableSize(
                kind.value,
                sum(part.rows for part in parts),
                len(parts),
                sum(part.bytes for part in parts),
                len(days_of(parts)),
            )
            for kind, parts in found
            if parts
        ]

    def vacuum(self, dry_run: bool = False, clock: Callable[[], float] = time.time) -> Vacuum:
        """Delete what is `lake_vacuum_h` old and of no use, in the lake and in the archive: files that no version of
        that time holds, also those that a crash left before their commit, and unfinished uploads. Never in the way of
        readers and writers. Idempotent.

        Raises:
            StoreError: It could not be finished; the same call may be repeated.
        """
        done = vacuum(self._url, self._settings, dry_run, clock())
        return done + vacuum(self._settings.archive, self._settings, dry_run, clock(), ARCHIVE)

    def _newest(self, name: str) -> AbstractContextManager[Delta]:
        return self._tables.newest(name)

    def close(self) -> None:
        """Let go; queries in flight finish on their own. Idempotent."""
        self._tables.close()
        self._archive.close()
        with self._lock:
            if self._scratch is not None:
                self._scratch.cleanup()


def _add(total: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name in ("received", "landed", "duplicates", "dead_lettered", "lost"):
        total[name] = total.get(name, 0) + row[name]
    for reason, count in json.loads(row["dropped"]).items():
        # Rows with equal `dropped` text were grouped: count how many there were.
        _add_counts(total["dropped"], {reason: count * row["n"]})


def _add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    for reason, count in counts.items():
        total[reason] = total.get(reason, 0) + count


def _stored(snapshot: Snapshot, where: str, known: Mapping[int, int]) -> dict[str, int]:
    past = [
        f"(bus_partition = {partition:d} AND bus_offset >= {known.get(partition, 0):d})"
        for partition, landed in snapshot.landed.items()
        if landed > known.get(partition, 0)
    ]
    if past:  # a commit in the making, or a crash in the midst of one
        where = f"{where} AND" if where else "WHERE"
        where = f"{where} NOT ({' OR '.join(past)})"
    sql = f"SELECT tenant, count(*) AS n FROM {snapshot.name} {where} GROUP BY tenant"
    return {row["tenant"]: row["n"] for row in snapshot.query(sql).to_pylist()}
