"""One Delta table: URL -> a handle, created when missing, refreshed cheaply, written once per app transaction.

`deltalake` does not reject a replayed app transaction of an older version by
itself, so a writer refreshes its handle, looks at `landed`, and writes on that same handle: a commit that another
process made in between is then a conflict.
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
from lakehouse.delta.schemas import statistics_columns

COMPACT_TARGET_BYTES = 16 << 20  # every compaction reads again what is smaller: bounds its time and memory
VACUUM_H = 24  # never less: a reader that pinned an older version still reads its files
CHECKPOINT_COMMITS = 20
_MERGING = "merging"  # app transaction: until when (Unix seconds) one process may be merging files
MERGE_S = 3600  # far longer than a merge takes, and what one that is killed costs: more small files
REPLACE_ATTEMPTS = 50  # of a commit, while others commit to other days

_CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
    # Every commit lists the log: at a commit every ten seconds, days of it would cost more than the rows. A reader that
    # was idle for longer starts from the newest checkpoint.
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
# Else every commit lists the whole log for what has expired; `clean_log` does it now and then.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_MISSING = "is its folder mounted, and its URL that of before? nothing is made anew in its place"


class Delta:
    """A handle of table `name` below `url`. Not thread-safe.

    Args:
        create: Whether a table that is missing is made; else that is an error.
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
        self._known: dict[str, tuple[int, dict[int, int]]] = {}  # kind -> version, landed then
        self._traced = False  # has any commit of this handle held trace ids
        self._table = self._open()

    def _open(self) -> DeltaTable:
        with translated(f"{self.what} cannot be opened"):
            try:
                return self._completed(DeltaTable(self._url, storage_options=self._options))
            except TableNotFoundError as error:
                if not self._creates:
                    raise StoreError(f"{self.what} is not at {self._url}", hint=_MISSING) from error
                return self._create()

    def _completed(self, table: DeltaTable) -> DeltaTable:
        """With the columns that a table of before lacks, in one commit; rows that are there have NULL in them."""
        there = {field.name for field in table.schema().fields}
        absent = [field for field in self.schema if field.name not in there]
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
        except (CommitFailedError, DeltaError) as error:  # somebody else was first: open theirs
            refused = error
        try:
            return DeltaTable(self._url, storage_options=self._options)
        except TableNotFoundError:
            raise refused or StoreError(f"{self._url} was made and is not there") from None

    def refresh(self) -> None:
        """Move to the newest version; cheap when there is none."""
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
        """Of this table: another one that is made in its place has another; positive, of 62 bits."""
        return uuid.UUID(str(self._table.metadata().id)).int >> 66

    def files(self) -> list[dict[str, Any]]:
        """The files of this version: "path", "num_records", "size_bytes", "partition.day", and statistics."""
        with translated(f"{self.what} cannot be read"):
            return pa.RecordBatchReader.from_stream(self._table.get_add_actions(flatten=True)).read_all().to_pylist()

    def register(self, builder: QueryBuilder, name: str = "") -> None:
        """Pin this version in `builder` under `name` (its own when empty); later refreshes do not move it."""
        with translated(f"{self.what} cannot be read"):
            builder.register(name or self.name, self._table)

    def landed(self, kind: str) -> dict[int, int]:
        """Next bus offset of `kind` by partition, as of this version: what a replay must skip."""
        version, landed = self._known.get(kind, (-1, {}))
        if version != self.version:  # looking up reads the log since its last checkpoint: milliseconds
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
            StoreError: It may or may not be written; look at `landed` after `refresh`.
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
        if self.version == before + 1:  # nobody else's commit came in between
            self._known[kind] = (self.version, held | dict(landed))

    def add(self, rows: pa.Table, numbers: Mapping[str, int]) -> None:
        """Append `rows` and note each number under its name, in one commit made from this handle's version.

        Raises:
            CommitFailedError: Another process noted one of these names meanwhile; nothing was written, no file is left.
            StoreError: It may or may not be written; look at `noted` after `refresh`.
        """
        with translated(f"{self.what} cannot be written"):
            made = self.new_files().write_days(rows, self._traces(rows))
        self.add_files(made, numbers)

    def new_files(self, scratch: Path | None = None) -> Files:
        """To write files of this table that `add_files` or `replace` takes up, and to read any of it. See `Files`."""
        return Files(self._url, self.name, self._options, self.layout, scratch)

    def add_files(self, files: Sequence[AddAction], numbers: Mapping[str, int]) -> None:
        """As `add`, of rows that are written already. Files of a lost race are deleted."""
        with translated(f"{self.what} cannot be written"):
            try:
                self._commit_files(files, "append", None, numbers)
            except CommitFailedError:
                self._let_go(files)
                raise
            self._table.update_incremental()

    def replace(self, day: dt.date, files: Sequence[AddAction], numbers: Mapping[str, int]) -> None:
        """Put `files` in place of those that the day has in this handle's version, and note `numbers`, in one commit.

        Raises:
            CommitFailedError: Another process changed the day, or noted one of these names; nothing happened, and
                `files` are deleted.
            StoreError: It may or may not be done; look at `noted` after `refresh`.
        """
        before = self._state(day, numbers)
        for attempt in range(REPLACE_ATTEMPTS):
            with translated(f"rows of {self.what} cannot be replaced"):
                try:
                    # The library itself would let it pass when others merged the day's files: rows twice.
                    self._commit_files(files, "overwrite", [("day", "=", day.isoformat())], numbers, retries=0)
                    self._table.update_incremental()
                    return
                except CommitFailedError:
                    self.refresh()
                    after = self._state(day, numbers)
                    if (after[0] - before[0]) & {file.path for file in files}:
                        return  # it was this commit, and the answer to it was lost; others may have come since
                    if attempt + 1 == REPLACE_ATTEMPTS or after != before:
                        self._let_go(files)
                        raise

    def _let_go(self, files: Sequence[AddAction]) -> None:
        """After a lost race: what was erased meanwhile must not stay in files that no version has."""
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
        """The number that was noted under `name`, as of this version; None when there was none."""
        with translated(f"{self.what} cannot be read"):
            return self._table.transaction_version(name)

    def note(self, numbers: Mapping[str, int]) -> None:
        """Note each number under its name, in one commit without rows, made from this handle's version.

        Raises:
            CommitFailedError: Another process noted one of these names meanwhile; nothing was written.
            StoreError: They may or may not be noted; look after `refresh`.
        """
        with translated(f"{self.what} cannot be written"):
            self._commit_files([], "append", None, numbers)

    def delete(self, where: str, numbers: Mapping[str, int]) -> int:
        """Delete the rows that match and note `numbers`, in one commit made from this handle's version.

        Whole days cost no reading; else the files that hold such rows are written anew. None matching: no commit, and
        nothing is noted.

        Returns:
            The number of rows that went.

        Raises:
            CommitFailedError: Another process changed the same days, or noted one of these names; nothing happened.
            StoreError: They may or may not be gone; look after `refresh`.
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
        """Distinct trace ids; 0 when there are none. Remembered for what this handle rewrites."""
        traces = len(rows.column("trace_id").unique()) if "trace_id" in rows.column_names else 1
        self._traced = self._traced or traces > 1
        return traces if traces > 1 else 0

    def _rewriting(self) -> WriterProperties:
        return writer_properties(self.name, ROW_GROUP_ROWS, ROW_GROUP_ROWS if self._traced else 0, self.layout)

    def compact(self, days: Iterable[str]) -> None:
        """Rewrite the small files of `days` into larger ones; never in the way of appends. A lost race is no matter.

        Nothing happens while another process does it, or did and was killed within `MERGE_S`: the library would let two
        merges of the same files pass, and each row would be there twice.
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
        """Note that a merge begins, and see all that was merged before; False: another one is under way."""
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
        """Delete log entries that are past their time and behind a checkpoint."""
        with translated(f"log of {self.what} cannot be cleaned"):
            self._table.cleanup_metadata()

    def vacuum(self) -> None:
        """Delete files that no version of the last 24 h uses."""
        with contextlib.suppress(CommitFailedError), translated(f"{self.what} cannot be vacuumed"):
            self._table.vacuum(retention_hours=VACUUM_H, dry_run=False)

    def unused(self, everything: bool) -> list[str]:
        """Paths, from the table on, of files that this version does not use: those that commits took out of it, or also
        those that never were part of a version. Deletes nothing."""
        with translated(f"{self.what} cannot be listed"):
            return self._table.vacuum(
                retention_hours=0, dry_run=True, enforce_retention_duration=False, full=everything
            )

    def sweep(self, age_h: int, dry_run: bool) -> list[str]:
        """Delete also the files that never became part of a version, as a crash leaves them; lists the whole table.

        Args:
            age_h: Younger files stay: a writer may be about to commit them. At least 24.
            dry_run: Delete nothing.

        Returns:
            The paths, from the table on.
        """
        with translated(f"{self.what} cannot be vacuumed"):
            try:
                return self._table.vacuum(retention_hours=max(age_h, VACUUM_H), dry_run=dry_run, full=True)
            except CommitFailedError as error:  # the files are gone all the same, only the note of it is not
                raise StoreError(f"vacuum of {self.what} lost a race", retry_after_s=5) from error


def _transactions(numbers: Mapping[str, int]) -> list[Transaction]:
    return [Transaction(name, number) for name, number in sorted(numbers.items())]
