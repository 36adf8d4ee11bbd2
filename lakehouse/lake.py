"""The lake: Delta tables under one URL -> writers, pinned snapshots to query, checkpoints, ledger sums, sizes.

Reads go through `snapshot`: one version of one table with the offsets that had landed in it, queried by SQL that is
built from a validated tree (`lake_query`), never from a user's text. Time, memory and concurrency are bounded.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contracts.answers import LedgerTotal
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.delta import Delta
from lakehouse.lake_literals import text_literal
from lakehouse.lake_snapshot import QueryPool, Snapshot
from lakehouse.lake_writer import LakeWriter
from lakehouse.numbering import Base, base_in, note_bases
from lakehouse.object_store import object_store, reading_options, writing_options
from lakehouse.tables import LEDGER

AWAY_REST_S = 1.0  # an object store that failed is left alone for as long as the failure took, and at least so long

_LEDGER_SQL = """
SELECT tenant, kind, dropped, count(*) AS n, sum(received) AS received, sum(landed) AS landed,
    sum(duplicates) AS duplicates, sum(dead_lettered) AS dead_lettered, sum(lost) AS lost
FROM ledger {where} GROUP BY tenant, kind, dropped"""


@dataclass(frozen=True, slots=True)
class TableSize:
    """What one table holds: the newest version's rows, files, bytes (Parquet, without the log) and arrival days."""

    kind: str
    rows: int
    files: int
    bytes: int
    days: int


@dataclass(frozen=True, slots=True)
class Vacuum:
    """What a vacuum deleted, or would: paths of files, and keys of uploads and probes; of a folder there are none."""

    files: Sequence[str]
    uploads: Sequence[str]
    probes: Sequence[str]


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
        self._store = object_store(url, settings)
        self._options = reading_options(url, settings)
        self._lock = threading.Lock()
        self._tables: dict[str, Delta] = {}
        self._asked_s: dict[str, float] = {}  # when the last refresh of a table began
        self._failure: tuple[float, StoreError] | None = None  # until when the object store is left alone, and why
        self._pool = QueryPool(settings)
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
        if self._store is not None:
            from lakehouse.object_store_probe import ensure_safe

            ensure_safe(self._store, self._settings.data)

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

    def bases(self, kind: Kind, identity: str, partitions: Iterable[int]) -> Mapping[int, Base]:
        """What is noted of the bus with that identity, by bus partition.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._newest(LEDGER) as table:
            return {partition: base_in(table, kind, identity, partition) for partition in partitions}

    def note_bases(self, kind: Kind, identity: str, bases: Mapping[int, int]) -> Mapping[int, Base]:
        """Note where the places of a bus begin, unless that is known; what holds then. See `lakehouse.numbering`.

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
            return Snapshot(table, landed, self._pool, self._settings)

    def scratch(self, kind: Kind) -> Snapshot:
        """An empty table of `kind`, for questions about the hot store's records when the lake cannot be read."""
        with self._lock:
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="headwater-scratch-")
            return Snapshot(Delta(self._scratch.name, kind.value), {}, self._pool, self._settings)

    def ledger(self, tenant: Tenant | None) -> Sequence[LedgerTotal]:
        """The account per tenant and kind; None is every tenant. Offsets that expired unread have tenant "".

        `stored` counts the rows before the ledger's own offsets: those that have an account.
        """
        where = "" if tenant is None else f"WHERE tenant = {text_literal(tenant)}"
        with self._newest(LEDGER) as newest:
            snapshot = Snapshot(newest, {}, self._pool, self._settings)
            known = {kind: newest.landed(kind.value) for kind in Kind}
        sums: dict[tuple[str, str], dict[str, Any]] = {}
        for row in snapshot.query(_LEDGER_SQL.format(where=where)).to_pylist():
            _add(sums.setdefault((row["tenant"], row["kind"]), {"dropped": {}}), row)
        stored = {kind: self._stored(Kind(kind), where, known[Kind(kind)]) for kind in {kind for _, kind in sums}}
        return [
            LedgerTotal(Tenant(name), Kind(kind), stored=stored[kind].get(name, 0), **total)
            for (name, kind), total in sorted(sums.items())
        ]

    def _stored(self, kind: Kind, where: str, known: Mapping[int, int]) -> dict[str, int]:
        snapshot = self.snapshot(kind, with_landed=True)
        past = [
            f"(bus_partition = {partition:d} AND bus_offset >= {known.get(partition, 0):d})"
            for partition, landed in snapshot.landed.items()
            if landed > known.get(partition, 0)
        ]
        if past:  # a commit in the making, or a crash in the midst of one
            where = f"{where} AND" if where else "WHERE"
            where = f"{where} NOT ({' OR '.join(past)})"
        sql = f"SELECT tenant, count(*) AS n FROM {kind.value} {where} GROUP BY tenant"
        return {row["tenant"]: row["n"] for row in snapshot.query(sql).to_pylist()}

    def tables(self) -> Sequence[TableSize]:
        """Every table's size, from file statistics alone."""
        sizes = []
        for name in [*(kind.value for kind in Kind), LEDGER]:
            with self._newest(name) as table:
                files = table.files()
            rows, size = (sum(file[column] for file in files) for column in ("num_records", "size_bytes"))
            sizes.append(TableSize(name, rows, len(files), size, len({file["partition.day"] for file in files})))
        return sizes

    def vacuum(self, dry_run: bool = False, clock: Callable[[], float] = time.time) -> Vacuum:
        """Delete what is `lake_vacuum_h` old and of no use: files that no version of that time holds, also those that a
        crash left before their commit, and unfinished uploads. Never in the way of readers and writers. Idempotent.

        Raises:
            StoreError: It could not be finished; the same call may be repeated.
        """
        age_h, names = self._settings.lake_vacuum_h, [*(kind.value for kind in Kind), LEDGER]
        options = writing_options(self._url, self._settings)
        files = [f"{name}/{path}" for name in names for path in Delta(self._url, name, options).sweep(age_h, dry_run)]
        if self._store is None:
            return Vacuum(files, (), ())
        from lakehouse.object_store_cleanup import abort_uploads, delete_probes

        uploads = abort_uploads(self._store, names, age_h, dry_run, clock())
        return Vacuum(files, uploads, delete_probes(self._store, age_h, dry_run, clock()))

    @contextmanager
    def _newest(self, name: str) -> Iterator[Delta]:
        """The table as it was after this call began, for one thread at a time."""
        called_s = time.monotonic()
        with self._lock:
            if self._asked_s.get(name, 0.0) < called_s:  # else others refreshed it while this call waited
                self._refresh(name)
            yield self._tables[name]

    def _refresh(self, name: str) -> None:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            known = self._failure[1]
            raise StoreError(str(known), hint=known.hint, retry_after_s=known.retry_after_s) from known
        began_s = time.monotonic()
        try:
            if name not in self._tables:
                self._tables[name] = Delta(self._url, name, self._options)
            self._tables[name].refresh()
        except StoreError as error:
            if self._store is not None:
                took_s = time.monotonic() - began_s
                self._failure = (time.monotonic() + max(took_s, AWAY_REST_S), error)
            raise
        self._asked_s[name], self._failure = began_s, None

    def close(self) -> None:
        """Let go; queries in flight finish on their own. Idempotent."""
        with self._lock:
            self._tables.clear()
            self._asked_s.clear()
            if self._scratch is not None:
                self._scratch.cleanup()


def _add(total: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name in ("received", "landed", "duplicates", "dead_lettered", "lost"):
        total[name] = total.get(name, 0) + row[name]
    for reason, count in json.loads(row["dropped"]).items():
        # Rows with equal `dropped` text were grouped: count how many there were.
        total["dropped"][reason] = total["dropped"].get(reason, 0) + count * row["n"]
