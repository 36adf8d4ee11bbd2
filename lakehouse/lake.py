"""The lake: Delta tables under one URL -> writers, pinned snapshots to query, checkpoints, ledger sums, sizes.

Reads go through `snapshot`: one version of one table with the offsets that had landed in it, queried by SQL that is
built from a validated tree (`lake_query`), never from a user's text. Time, memory and concurrency are bounded.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.answers import LedgerTotal
from contracts.messages import Kind
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.delta import Delta
from lakehouse.lake_literals import text_literal
from lakehouse.lake_snapshot import QueryPool, Snapshot
from lakehouse.lake_writer import LakeWriter
from lakehouse.tables import LEDGER

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


class Lake:
    """Reads are thread-safe. Opening creates missing tables when they are first looked at.

    Args:
        url: Folder or object-store URL.
        storage_options: Passed to the object store.
    """

    def __init__(self, url: str, settings: Settings, storage_options: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._settings = settings
        self._options = storage_options
        self._lock = threading.Lock()
        self._tables: dict[str, Delta] = {}
        self._pool = QueryPool(settings)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def writer(self, kind: Kind) -> LakeWriter:
        return LakeWriter(self._url, kind, self._settings, self._options)

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is in the lake and accounted for."""
        with self._lock:
            return self._newest(LEDGER).landed(kind.value)

    def landed(self, kind: Kind) -> Mapping[int, int]:
        """Next offset by bus partition that reads of a kind's table see; a crash may put it ahead of `checkpoints`.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._lock:
            return self._newest(kind.value).landed(kind.value)

    def snapshot(self, kind: Kind, with_landed: bool = False) -> Snapshot:
        """Pin the newest version of a kind's table, and with it (when asked) the offsets that had landed.

        Raises:
            StoreError: The lake cannot be read.
        """
        with self._lock:
            table = self._newest(kind.value)
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
        with self._lock:
            newest = self._newest(LEDGER)
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
            with self._lock:
                files = self._newest(name).files()
            rows, size = (sum(file[column] for file in files) for column in ("num_records", "size_bytes"))
            sizes.append(TableSize(name, rows, len(files), size, len({file["partition.day"] for file in files})))
        return sizes

    def _newest(self, name: str) -> Delta:
        if name not in self._tables:
            self._tables[name] = Delta(self._url, name, self._options)
        self._tables[name].refresh()
        return self._tables[name]

    def close(self) -> None:
        """Let go; queries in flight finish on their own. Idempotent."""
        with self._lock:
            self._tables.clear()
            if self._scratch is not None:
                self._scratch.cleanup()


def _add(total: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name in ("received", "landed", "duplicates", "dead_lettered", "lost"):
        total[name] = total.get(name, 0) + row[name]
    for reason, count in json.loads(row["dropped"]).items():
        # Rows with equal `dropped` text were grouped: count how many there were.
        total["dropped"][reason] = total["dropped"].get(reason, 0) + count * row["n"]
