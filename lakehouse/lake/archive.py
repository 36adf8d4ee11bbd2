"""The archive as reads see it: finished moves of a kind's table -> their files, rows by tenant, rows of a query.

A table of the archive is partitioned by (day, move). The lake's table notes, in the very commit that deletes a day's
rows, that the move is finished: "moves" = its number. So a version of the lake's table, pinned first, says which rows
of the archive count: those whose `move` is not above `moves`. What lies above is of a move that has not ended yet.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse.delta.layout import Layout
from lakehouse.delta.notes import gone
from lakehouse.delta.table import Delta
from lakehouse.delta.tables import Tables
from lakehouse.lake.snapshot import QueryPool, Snapshot
from lakehouse.s3.store import reading_options, writing_options
from lakehouse.sql.literals import day_literal

ARCHIVE = Layout(
    ("day", "move"),
    (("move", pa.int32()),),
    compression_level=9,  # below the same records as NDJSON; 10 saves 2 % more and costs 40 %
    tier="archive",
    shares_starts=True,
    page_bytes=4 << 20,
)
MOVES = "moves"  # app transaction of the lake's table: the number of the last finished move
LIST_AGE_S = 60.0  # only an erasure or retention changes the list of files without a move
REST_S = 15.0  # questions that did not ask for the archive never wait for one that is away
COUNTED_DAYS = 16  # days of one count
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WHOLE_BYTES = 32  # minima and maxima of longer text may be cut


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file.

    Attributes:
        start_us, end_us: First and last event time, Unix microseconds; None is not known.
        tenants: First and last name; None is not known.
    """

    day: dt.date
    move: int
    path: str
    rows: int
    bytes: int
    start_us: int | None
    end_us: int | None
    tenants: tuple[str, str] | None

    def may_hold(self, tenant: str, start_ns: int | None, end_ns: int | None) -> bool:
        """Whether records of the tenant, with event times from `start_ns` to before `end_ns`, may be in it."""
        if self.tenants is not None and not self.tenants[0] <= tenant <= self.tenants[1]:
            return False
        late = start_ns is not None and self.end_us is not None and self.end_us * 1000 + 999 < start_ns
        early = end_ns is not None and self.start_us is not None and self.start_us * 1000 >= end_ns
        return not (late or early)


@dataclass(frozen=True, slots=True)
class _List:
    """The files of one version, and the highest number of finished moves that was known when it was looked at."""

    at_s: float = float("-inf")
    version: int = -1
    moves: int = 0
    parts: Sequence[ArchivedFile] = ()


class Archive:
    """Thread-safe. Opens nothing before it is asked for.

    Raises:
        ConfigError: Its URL, or the settings of its object store, cannot work.
    """

    def __init__(self, settings: Settings, pool: QueryPool) -> None:
        self._settings, self._pool = settings, pool
        self._tables = Tables(archive_url(settings), settings, ARCHIVE, create=False, rest_s=REST_S)
        self._lock = threading.Lock()
        self._lists: dict[Kind, _List] = {}
        self._counts: dict[frozenset[str], Mapping[str, int]] = {}  # files never change

    def pin(self, kind: Kind, moves: int, into: Snapshot) -> Sequence[ArchivedFile]:
        """Make the newest version known in `into` as `table_name(kind)`; its files of finished moves.

        Its rows must be asked for with `visible_sql(moves)`.

        Raises:
            StoreError: It cannot be read, or is missing.
        """
        if not moves:
            return ()
        with self._tables.newest(kind.value) as table:
            parts = self._listed(kind, table, moves)
            into.add(table, table_name(kind))
        return [part for part in parts if is_visible(part.move, moves)]

    def known(self, kind: Kind, moves: int) -> Sequence[ArchivedFile]:
        """Files of finished moves, without asking the archive when the last answer does.

        Raises:
            StoreError: It cannot be read, or is missing.
        """
        if not moves:
            return ()
        with self._lock:
            held = self._lists.get(kind, _List())
        parts = held.parts
        if time.monotonic() - held.at_s > LIST_AGE_S or held.moves < moves:
            with self._tables.newest(kind.value) as table:
                parts = self._listed(kind, table, moves)
        return [part for part in parts if is_visible(part.move, moves)]

    def _listed(self, kind: Kind, table: Delta, moves: int) -> Sequence[ArchivedFile]:
        with self._lock:
            held = self._lists.get(kind, _List())
        parts = held.parts if held.version == table.version else [_part(file) for file in table.files()]
        with self._lock:
            self._lists[kind] = _List(time.monotonic(), table.version, max(moves, held.moves), parts)
        return parts

    def account(
        self, kind: Kind, moves: int, tenants: Iterable[str]
    ) -> tuple[Mapping[str, int], Mapping[str, Mapping[str, int]]]:
        """Rows of finished moves by tenant, and how many were ever removed, by tenant and reason; of one version.

        Raises:
            StoreError: It cannot be read, or is missing.
        """
        if not moves:
            return {}, {}
        with self._tables.newest(kind.value) as table:
            parts = [part for part in self._listed(kind, table, moves) if is_visible(part.move, moves)]
            snapshot = Snapshot(table, {}, self._pool, self._settings)
            removed = gone(table, tenants)
        total: dict[str, int] = {}
        for counts in self._counted(kind, snapshot, parts):
            for tenant, rows in counts.items():
                total[tenant] = total.get(tenant, 0) + rows
        return total, removed

    def _counted(self, kind: Kind, snapshot: Snapshot, parts: Sequence[ArchivedFile]) -> list[Mapping[str, int]]:
        """Rows by tenant of each (day, move), from what is known of its files, from statistics, or counted."""
        moved: dict[tuple[dt.date, int], list[ArchivedFile]] = {}
        for part in parts:
            moved.setdefault((part.day, part.move), []).append(part)
        keys = {move: frozenset(f"{kind.value}/{part.path}" for part in files) for move, files in moved.items()}
        with self._lock:
            unknown = [move for move, key in keys.items() if key not in self._counts]
        found = {move: counts for move in unknown if (counts := _of_one_tenant(moved[move])) is not None}
        asked = [move for move in unknown if move not in found]
        for at in range(0, len(asked), COUNTED_DAYS):
            found |= _count(snapshot, asked[at : at + COUNTED_DAYS])
        with self._lock:
            self._counts |= {keys[move]: counts for move, counts in found.items()}
            return [self._counts[key] for key in keys.values()]

    def close(self) -> None:
        """Let go; queries in flight finish on their own. Idempotent."""
        self._tables.close()


def archive_url(settings: Settings) -> str:
    """Where the archive is.

    Raises:
        ConfigError: It is the lake's place.
    """
    if settings.archive.rstrip("/") == settings.lake.rstrip("/"):
        raise ConfigError(f'the archive is at "{settings.archive}", as the lake is', hint="set HEADWATER_ARCHIVE_URL")
    return settings.archive


def open_archive(settings: Settings, kind: Kind, writing: bool = False) -> Delta:
    """The archive's table of a kind as it is now, which has to be there.

    Raises:
        ConfigError: HEADWATER_ARCHIVE_URL cannot work.
        StoreError: It cannot be opened, or is missing.
    """
    url = archive_url(settings)
    options = writing_options(url, settings) if writing else reading_options(url, settings)
    return Delta(url, kind.value, options, ARCHIVE, create=False)


def archived_name(name: str) -> str:
    """Of the archive's table in a query that reads the lake's too."""
    return f"archived_{name}"


def table_name(kind: Kind) -> str:
    return archived_name(kind.value)


def finished_moves(lake: Delta) -> int:
    """How many moves are finished in the version that the lake's table is at."""
    return lake.noted(MOVES) or 0


def is_visible(move: int, moves: int) -> bool:
    """The one rule of the archive: rows of a move count when the move is among the finished ones."""
    return move <= moves


def visible_sql(moves: int) -> str:
    """The same as a condition on rows."""
    return f"move <= {moves:d}"


def copied_sql(moves: int) -> str:
    """Rows that do not count: copies of moves that are not finished."""
    return f"move > {moves:d}"


def visible_files(archive: Delta, moves: int) -> list[dict[str, Any]]:
    """Files whose rows count."""
    return [file for file in archive.files() if is_visible(file["partition.move"], moves)]


def days_of(parts: Iterable[ArchivedFile]) -> tuple[dt.date, ...]:
    return tuple(sorted({part.day for part in parts}))


def _part(file: Mapping[str, Any]) -> ArchivedFile:
    first, last = file.get("min.tenant"), file.get("max.tenant")
    return ArchivedFile(
        day=file["partition.day"],
        move=file["partition.move"],
        path=file["path"],
        rows=file["num_records"],
        bytes=file["size_bytes"],
        start_us=_microseconds(file.get("min.timestamp")),
        end_us=_end(_microseconds(file.get("max.timestamp"))),
        tenants=None if first is None or last is None or len(last.encode()) >= _WHOLE_BYTES else (first, last),
    )


def _microseconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _end(us: int | None) -> int | None:
    """The library cuts maxima to milliseconds when it writes a file."""
    return None if us is None else us + 999 - us % 1000


def _of_one_tenant(parts: Sequence[ArchivedFile]) -> Mapping[str, int] | None:
    names = {part.tenants for part in parts}
    if len(names) != 1 or (only := names.pop()) is None or only[0] != only[1]:
        return None
    return {only[0]: sum(part.rows for part in parts)}


def _count(snapshot: Snapshot, moves: Sequence[tuple[dt.date, int]]) -> dict[tuple[dt.date, int], Mapping[str, int]]:
    wanted = " OR ".join(f"(day = {day_literal(day)} AND move = {move:d})" for day, move in moves)
    sql = f"SELECT day, move, tenant, count(*) AS n FROM {snapshot.name} WHERE {wanted} GROUP BY day, move, tenant"
    found: dict[tuple[dt.date, int], dict[str, int]] = {each: {} for each in moves}
    for row in snapshot.query(sql).to_pylist():
        found[row["day"], row["move"]][row["tenant"]] = row["n"]
    return dict(found)
