"""One Delta table: URL -> a handle; creates a missing table, and writes each app transaction once.

`deltalake` itself does not reject a replayed app transaction of an older version. So a writer refreshes its handle,
reads `landed`, and writes on that same handle: then a commit of another process in between is a conflict.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    QueryBuilder,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from contracts.errors import StoreError
from lakehouse.delta.errors import translated as translated  # beside the handle that needs it
from lakehouse.delta.files import Files
from lakehouse.delta.layout import ROW_GROUP_ROWS, WARM, Layout, writer_properties
from lakehouse.delta.schemas import RESERVED_NAMES, statistics_columns

COMPACT_TARGET_BYTES = 16 << 20  # each compaction reads all smaller files again; this bounds its time and memory
VACUUM_H = 24  # never less, as a reader of an older version still reads its files
CHECKPOINT_COMMITS = 20
_MERGING = "merging"  # app transaction: Unix seconds until which one process may merge files
MERGE_S = 3600  # far longer than a merge takes; after a killed merge, small files stay for so long
REPLACE_ATTEMPTS = 50  # attempts of a commit while other processes commit to other days

_CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
    # Every commit lists the log. With a commit every ten seconds, a log of days would cost more than the rows. A reader
    # that was idle for longer starts from the newest checkpoint.
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
# No cleanup here: every commit would list the whole log for expired entries. Upkeep calls `clean_log` instead.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_MISSING = "check that its folder is mounted and its URL unchanged; Headwater does not create it again"


class Delta:
    """A handle of table `name` below `url`. Not thread-safe.

    Args:
        create: True: a missing table is created; False: a missing table is an error.
    """

    def __init__(
        self,
        url: str,
        name: str,
        storage_options: Mapping[str, str] | None = None,
        layout: Layout = WARM,
        create: bool = True,
    ) -> None:
        self.name = name
        self.what = f'{layout.tier} table "{name}"'
        self.layout = layout
        self._creates = create
        self.schema = layout.schema(name)
        self._options = dict(storage_options or {})
        self._url = f"{url.rstrip('/')}/{name}"
        self._known: dict[str, tuple[int, dict[int, int]]] = {}  # kind -> version, next offsets in that version
        self._traced = False  # True once a commit of this handle had trace ids
        self._table = self._open()

    def _open(self) -> DeltaTable:
        with translated(f"{self.what} cannot be opened"):
            try:
                return self._completed(DeltaTable(self._url, storage_options=self._options))
            except TableNotFoundError as error:
                if not self._creates:
                    raise StoreError(f"{self.what} is missing at {self._url}", hint=_MISSING) from error
                return self._create()

    def _completed(self, table: DeltaTable) -> DeltaTable:
        """Add the reserved columns that an older table lacks; the check `schema_drift` names any other that is gone."""
        lacks = RESERVED_NAMES - {field.name for field in table.schema().fields}
        absent = [field for field in self.schema if field.name in lacks]
        if not absent:
            return table
        try:
            table.alter.add_columns(Schema.from_arrow(pa.schema(absent)).fields)
        except (CommitFailedError, DeltaError, OSError):  # somebody else was first, or this process may only read
            table = DeltaTable(self._url, storage_options=self._options)
        return table

    def _create(self) -> DeltaTable:
        if "://" not in self._url:
            Path(self._url).mkdir(parents=True, exist_ok=True)
        statistics = {"delta.dataSkippingStatsColumns": ",".join(statistics_columns(self.name))}
        refused: Exception | None = None
        try:
            DeltaTable.create(
                self._url,
                self.schema,
                partition_by=list(self.layout.partition_by),
                configuration=_CONFIGURATION | statistics,
                storage_options=self._options,
            )
        except (CommitFailedError, DeltaError) as error:  # another process may have been first: open its table
            refused = error
        try:
            return DeltaTable(self._url, storage_options=self._options)
        except TableNotFoundError:
            raise refused or StoreError(f"{self._url} was created, but cannot be found") from None

    def refresh(self) -> None:
        """Move to the newest version; cheap if the handle is at that version."""
        with translated(f"{self.what} cannot be read"):
            self._table.update_incremental()

    def reopen(self) -> None:
        self._table = self._open()

    @property
    def url(self) -> str:
        return self._url

    @property
    def version(self) -> int:
        return int(self._table.version())

    @property
    def identity(self) -> int:
        """Identity of this table, positive, 62 bits. A table created in its place has another identity."""
        return uuid.UUID(str(self._table.metadata().id)).int >> 66

    def files(self) -> list[dict[str, Any]]:
        """The files of this version: "path", "num_records", "size_bytes", "partition.day", and statistics."""
        with translated(f"{self.what} cannot be read"):
            return pa.RecordBatchReader.from_stream(self._table.get_add_actions(flatten=True)).read_all().to_pylist()

    def register(self, builder: QueryBuilder, name: str = "") -> None:
        """Pin this version in `builder` under `name` ("": the table's name); later refreshes do not change it."""
        with translated(f"{self.what} cannot be read"):
            builder.register(name or self.name, self._table)

    def landed(self, kind: str) -> dict[int, int]:
        """Next bus offset of `kind` by partition in this version; a replay must skip smaller offsets."""
        version, landed = self._known.get(kind, (-1, {}))
        if version != self.version:  # the look-up reads the log since its last checkpoint, in milliseconds
            landed = self._look_up(kind)
            self._known[kind] = (self.version, landed)
        return dict(landed)

    def _look_up(self, kind: str) -> dict[int, int]:
        with translated(f"{self.what} cannot be read"):
            partitions = self._table.transaction_version(f"{kind}:partitions") or 0
            versions = {part: self._table.transaction_version(f"{kind}:{part}") for part in range(partitions)}
        return {part: int(version) for part, version in versions.items() if version is not None}

    def append(self, kind: str, rows: pa.Table, landed: Mapping[int, int]) -> None:
        """Append `rows` and set the next offsets `landed`, in one commit made from this handle's version.

        Raises:
            CommitFailedError: Another process moved the same offsets first; nothing was written.
            StoreError: The rows may or may not be written; check `landed` after `refresh`.
        """
        transactions = [Transaction(f"{kind}:{part}", offset) for part, offset in sorted(landed.items())]
        partitions = max(landed, default=-1) + 1
        before, held = self.version, self.landed(kind)
        if partitions > max(held, default=-1) + 1:
            transactions.append(Transaction(f"{kind}:partitions", partitions))
        with translated(f"{self.what} cannot be written"):
            write_deltalake(
                self._table,
                rows.combine_chunks(),  # the library mixes the order of chunks
                mode="append",
                writer_properties=self._properties(rows),
                commit_properties=CommitProperties(app_transactions=transactions),
                post_commithook_properties=_HOOKS,
            )
        if self.version == before + 1:  # no other commit came in between
            self._known[kind] = (self.version, held | dict(landed))

    def add(self, rows: pa.Table, numbers: Mapping[str, int]) -> None:
        """Append `rows` and note each number under its name, in one commit made from this handle's version.

        Raises:
            CommitFailedError: Another process noted one of these names meanwhile; nothing was written, no file is left.
            StoreError: The rows may or may not be written; check `noted` after `refresh`.
        """
        with translated(f"{self.what} cannot be written"):
            made = self.new_files().write_days(rows, self._traces(rows))
        self.add_files(made, numbers)

    def new_files(self, scratch: Path | None = None) -> Files:
        """Files of this table: writes files for `add_files` or `replace`, and reads any file. See `Files`."""
        return Files(self._url, self.name, self._options, self.layout, scratch)

    def add_files(self, files: Sequence[AddAction], numbers: Mapping[str, int]) -> None:
        """Like `add`, for files that are written already. After a lost race the files are deleted."""
        with translated(f"{self.what} cannot be written"):
            try:
                self._commit_files(files, "append", None, numbers)
            except CommitFailedError:
                self._let_go(files)
                raise
            self._table.update_incremental()

    def replace(self, day: dt.date, files: Sequence[AddAction], numbers: Mapping[str, int]) -> None:
        """Replace the day's files of this handle's version by `files` and note `numbers`, in one commit.

        Raises:
            CommitFailedError: Another process changed the day, or noted one of these names; nothing changed, and
                `files` are deleted.
            StoreError: The files may or may not be replaced; check `noted` after `refresh`.
        """
        before = self._state(day, numbers)
        for attempt in range(REPLACE_ATTEMPTS):
            with translated(f"rows of {self.what} cannot be replaced"):
                try:
                    # No retry by the library: after a merge by others it would commit, and rows would be there twice.
                    self._commit_files(files, "overwrite", [("day", "=", day.isoformat())], numbers, retries=0)
                    self._table.update_incremental()
                    return
                except CommitFailedError:
                    self.refresh()
                    after = self._state(day, numbers)
                    if (after[0] - before[0]) & {file.path for file in files}:
                        return  # this commit succeeded and its answer was lost; other commits may have followed
                    if attempt + 1 == REPLACE_ATTEMPTS or after != before:
                        self._let_go(files)
                        raise

    def _let_go(self, files: Sequence[AddAction]) -> None:
        """Delete `files` after a lost race, as they may hold rows that were erased meanwhile."""
        self.refresh()
        if not {file.path for file in files} & {file["path"] for file in self.files()}:
            self.new_files().delete(files)

    def _state(self, day: dt.date, names: Iterable[str]) -> tuple[set[str], dict[str, int | None]]:
        paths = {file["path"] for file in self.files() if file["partition.day"] == day}
        return paths, {name: self.noted(name) for name in names}

    def _commit_files(
        self,
        files: Sequence[AddAction],
        mode: str,
        where: list[tuple[str, str, Any]] | None,
        numbers: Mapping[str, int],
        retries: int | None = None,
    ) -> None:
        self._table.create_write_transaction(
            list(files),
            mode,
            self.schema,
            list(self.layout.partition_by),
            where,
            commit_properties=CommitProperties(max_commit_retries=retries, app_transactions=_transactions(numbers)),
            post_commithook_properties=_HOOKS,
        )

    def noted(self, name: str) -> int | None:
        """The number noted under `name` in this version; None if there is none."""
        with translated(f"{self.what} cannot be read"):
            return self._table.transaction_version(name)

    def note(self, numbers: Mapping[str, int]) -> None:
        """Note each number under its name, in one commit without rows, made from this handle's version.

        Raises:
            CommitFailedError: Another process noted one of these names meanwhile; nothing was written.
            StoreError: The numbers may or may not be noted; check `noted` after `refresh`.
        """
        with translated(f"{self.what} cannot be written"):
            self._commit_files([], "append", None, numbers)

    def delete(self, where: str, numbers: Mapping[str, int]) -> int:
        """Delete the rows that match and note `numbers`, in one commit made from this handle's version.

        Whole days are deleted without reading; else the files with such rows are rewritten. If no row matches, there is
        no commit and nothing is noted.

        Returns:
            The number of deleted rows.

        Raises:
            CommitFailedError: Another process changed the same days, or noted one of these names; nothing changed.
            StoreError: The rows may or may not be deleted; check after `refresh`.
        """
        with translated(f"rows of {self.what} cannot be deleted"):
            done = self._table.delete(
                where,
                writer_properties=self._rewriting(),
                commit_properties=CommitProperties(app_transactions=_transactions(numbers)),
                post_commithook_properties=_HOOKS,
            )
        return int(done["num_deleted_rows"])

    def _properties(self, rows: pa.Table) -> WriterProperties:
        return writer_properties(self.name, rows.num_rows, self._traces(rows), self.layout)

    def _traces(self, rows: pa.Table) -> int:
        """Number of distinct trace ids, 0 if none. Remembered for later rewrites by this handle."""
        traces = len(rows.column("trace_id").unique()) if "trace_id" in rows.column_names else 1
        self._traced = self._traced or traces > 1
        return traces if traces > 1 else 0

    def _rewriting(self) -> WriterProperties:
        return writer_properties(self.name, ROW_GROUP_ROWS, ROW_GROUP_ROWS if self._traced else 0, self.layout)

    def compact(self, days: Iterable[str]) -> None:
        """Rewrite the small files of `days` into larger files. Does not block appends.

        If another commit wins, nothing is merged and the next call tries again. While another process merges, or was
        killed in a merge within `MERGE_S`, this call does nothing: the library would accept two merges of the same
        files, and every row would be there twice.
        """
        if not self._began_merge():
            return
        try:
            for day in days:
                with contextlib.suppress(CommitFailedError):
                    self._merge(day)
        finally:
            with contextlib.suppress(CommitFailedError, StoreError):
                self.refresh()
                self.note({_MERGING: 0})
                self.refresh()

    def _began_merge(self) -> bool:
        """Note that a merge begins and refresh the handle; False: another merge runs."""
        self.refresh()
        now_s = int(time.time())
        if now_s < (self.noted(_MERGING) or 0) <= now_s + MERGE_S:
            return False
        try:
            self.note({_MERGING: now_s + MERGE_S})
        except CommitFailedError:
            return False
        finally:
            self.refresh()
        return True

    def _merge(self, day: str) -> None:
        with translated(f"{self.what} cannot be compacted"):
            self._table.optimize.compact(
                partition_filters=[("day", "=", day)],
                target_size=COMPACT_TARGET_BYTES,
                max_concurrent_tasks=1,
                writer_properties=self._rewriting(),
            )

    def clean_log(self) -> None:
        """Delete log entries that are past their retention and before a checkpoint."""
        with translated(f"log of {self.what} cannot be cleaned"):
            self._table.cleanup_metadata()

    def vacuum(self) -> None:
        """Delete files that no version of the last 24 h uses."""
        with contextlib.suppress(CommitFailedError), translated(f"{self.what} cannot be vacuumed"):
            self._table.vacuum(retention_hours=VACUUM_H, dry_run=False)

    def unused(self, everything: bool) -> list[str]:
        """Paths below the table of files that this version does not use. Deletes nothing.

        `everything`: also files that never were part of a version, not only those that commits took out.
        """
        with translated(f"{self.what} cannot be listed"):
            return self._table.vacuum(
                retention_hours=0, dry_run=True, enforce_retention_duration=False, full=everything
            )

    def sweep(self, age_h: int, dry_run: bool) -> list[str]:
        """Vacuum, and also delete files that never became part of a version (after a crash). Lists the whole table.

        Args:
            age_h: Younger files stay, as a writer may still commit them. At least 24.
            dry_run: Delete nothing.

        Returns:
            Paths of the files below the table.
        """
        with translated(f"{self.what} cannot be vacuumed"):
            try:
                return self._table.vacuum(retention_hours=max(age_h, VACUUM_H), dry_run=dry_run, full=True)
            except CommitFailedError as error:  # the files are deleted, only the log entry about them is missing
                raise StoreError(f"vacuum of {self.what} lost a race", retry_after_s=5) from error


def _transactions(numbers: Mapping[str, int]) -> list[Transaction]:
    return [Transaction(name, number) for name, number in sorted(numbers.items())]
