"""Erased files: files that no version of a table uses and that may hold erased rows -> deleted.

A normal vacuum keeps such files for 24 h, for readers of older versions. An erasure deletes them after the grace period
for running queries. Two groups of files are deleted: files that a commit took out of the table before the grace period,
and orphans (leftovers of a crash or a lost race) that hold rows of the subject or cannot be read. Files of the newest
version stay, as do files that a writer may still commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import Request
from lakehouse.lake.erasure_tests import Tests
from lakehouse.s3.probe import TIMEOUT_S, s3_errors
from lakehouse.s3.store import ObjectStore, object_store
from lakehouse.upkeep.care import Care

DELETED = failpoint("erase.file_deleted", "a file that no version uses is deleted")


@dataclass(frozen=True, slots=True)
class Unused:
    """Unused files of one table; paths are relative to the table's folder.

    Attributes:
        taken_out: Files that commits took out of the table.
        orphans: Files that never were part of a version.
    """

    table: Delta
    taken_out: Sequence[str]
    orphans: Sequence[str]


def unused(table: Delta) -> Unused:
    """The files that the newest version does not use."""
    table.refresh()
    taken_out = table.unused(everything=False)
    orphans = sorted(set(table.unused(everything=True)) - set(taken_out) | set(_half_written(table)))
    return Unused(table, taken_out, orphans)


def _half_written(table: Delta) -> list[str]:
    """Temporary files of a killed writer; the library's listing omits them."""
    if "://" in table.url:
        return []
    root = Path(table.url)
    return [str(path.relative_to(root)) for path in root.glob("*=*/**/*") if "#" in path.name and path.is_file()]


def delete(care: Care, found: Unused, request: Request, kind: Kind | None, before_s: float) -> list[str]:
    """Delete the unused files and return their paths. Idempotent.

    Args:
        kind: Kind of the rows in the table; None: a rollup table, whose orphans go if they hold any row of the tenant.
        before_s: Unix seconds. A younger orphan stays, as its writer may still commit it.

    Raises:
        StoreError: Not all files could be deleted; the same call may be repeated.
    """
    found.table.refresh()
    in_use = {file["path"] for file in found.table.files()}
    store = object_store(found.table.url, care.settings)
    files = _Folder(Path(found.table.url)) if store is None else _Bucket(store)
    orphans = [path for path in found.orphans if files.is_older(path, before_s)]
    holding = [path for path in orphans if _holds(files, path, request, kind)]
    gone = []
    for path in (*found.taken_out, *holding):
        if path not in in_use and files.delete(path):
            gone.append(f"{found.table.name}/{path}")
            reach(DELETED)
    return gone


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def is_older(self, path: str, before_s: float) -> bool:
        try:
            return (self._root / path).stat().st_mtime < before_s
        except FileNotFoundError:
            return False

    def open(self, path: str) -> Any:
        return pa.OSFile(str(self._root / path), "rb")

    def delete(self, path: str) -> bool:
        try:
            (self._root / path).unlink()
        except FileNotFoundError:
            return False
        return True


class _Bucket:
    """`store`: the bucket and prefix of the table."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._client = store, store.client(TIMEOUT_S)

    def is_older(self, path: str, before_s: float) -> bool:
        with s3_errors(self._store, "files cannot be listed"):
            listed = self._client.list_objects_v2(Bucket=self._store.bucket, Prefix=self._key(path))
        return any(each["LastModified"].timestamp() < before_s for each in listed.get("Contents", ()))

    def open(self, path: str) -> Any:
        with s3_errors(self._store, "files cannot be read"):
            body = self._client.get_object(Bucket=self._store.bucket, Key=self._key(path))["Body"]
            return pa.BufferReader(body.read())

    def delete(self, path: str) -> bool:
        with s3_errors(self._store, "files cannot be deleted"):
            self._client.delete_object(Bucket=self._store.bucket, Key=self._key(path))
        return True

    def _key(self, path: str) -> str:
        return f"{self._store.prefix}/{path}"


def _holds(files: _Folder | _Bucket, path: str, request: Request, kind: Kind | None) -> bool:
    """True if a file has rows of the subject, or cannot be read."""
    import pyarrow.parquet as pq

    try:
        with files.open(path) as opened:
            test = _row_test(request, kind)
            return any(test(row) for batch in pq.ParquetFile(opened).iter_batches(20_000) for row in batch.to_pylist())
    except FileNotFoundError:
        return False
    except (pa.ArrowException, OSError, ValueError):
        return True


def _row_test(request: Request, kind: Kind | None) -> Callable[[dict[str, Any]], bool]:
    if kind is None:
        return lambda row: bool(row["tenant"] == request.tenant)
    tests = Tests(request.subject)

    def of_letter(row: dict[str, Any]) -> bool:
        return row["tenant"] == request.tenant and tests.letter(
            row["source_kind"], row["source_producer"], row["payload"]
        )

    def of_row(row: dict[str, Any]) -> bool:
        return row["tenant"] == request.tenant and tests.row(kind, row)

    return of_letter if kind is Kind.DEAD_LETTERS else of_row
