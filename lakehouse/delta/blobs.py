"""Blobs: small files beside the tables of the lake, in a folder or on S3 -> write, read, list and delete.

Not for records: a file is one request and is held in memory. Thread-safe.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from contracts.errors import StoreError
from contracts.files import replace_file
from contracts.settings import Settings
from lakehouse.s3.store import ObjectStore, object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAKING = threading.Lock()  # boto3 makes its clients from one session, which is not thread-safe


class Blobs(Protocol):
    """Names have no slash. Every call blocks and may raise `StoreError`; the same call may be repeated."""

    def names(self) -> Sequence[str]: ...

    def read(self, name: str) -> bytes | None:
        """The content; None if the file does not exist."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file, atomically. Durable on return."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; do nothing if it does not exist."""
        ...


def open_blobs(url: str, settings: Settings, folder: str) -> Blobs:
    """The files in `folder` (parts joined by slashes) below the lake at `url`. The first write creates the folder.

    Raises:
        ConfigError: The URL, or the settings of its object store, cannot work.
    """
    store = object_store(url, settings)
    if store is None:
        return _Folder(Path(url) / folder)
    return _Bucket(store, settings.s3_write_timeout_s, folder)


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Sequence[str]:
        try:
            return [each.name for each in self._path.iterdir() if not each.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._trouble("listed", error) from error

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble("read", error) from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            replace_file(self._path / name, content, shared=True)
        except OSError as error:
            raise self._trouble("written", error) from error

    def delete(self, name: str) -> None:
        try:
            (self._path / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble("deleted", error) from error

    def _trouble(self, what: str, error: OSError) -> StoreError:
        return StoreError(
            f'files in "{self._path}" cannot be {what}: {error.strerror}',
            hint="check the permissions and the free space of the lake's folder",
            retry_after_s=5,
        )


@functools.lru_cache(maxsize=4)  # shared by all folders: each client has its own connections, and takes 0.3 MiB
def _client(store: ObjectStore, timeout_s: float) -> S3Client:
    return store.client(timeout_s)


class _Bucket:
    """Uses boto3: the client of the tables holds the interpreter while S3 does not answer, and stops every thread."""

    def __init__(self, store: ObjectStore, timeout_s: float, folder: str) -> None:
        self._store, self._folder = store, folder
        with _MAKING:
            self._client = _client(store, timeout_s)
        self._prefix = "/".join(filter(None, (store.prefix, folder))) + "/"

    def names(self) -> Sequence[str]:
        with self._trouble("files in", "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._store.bucket, Prefix=self._prefix
            )
            return [each["Key"].removeprefix(self._prefix) for page in pages for each in page.get("Contents", ())]

    def read(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError

        with self._trouble("a file in", "read"):
            try:
                return self._client.get_object(Bucket=self._store.bucket, Key=self._prefix + name)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return None
                raise

    def write(self, name: str, content: bytes) -> None:
        with self._trouble("a file in", "written"):
            self._client.put_object(Bucket=self._store.bucket, Key=self._prefix + name, Body=content)

    def delete(self, name: str) -> None:
        with self._trouble("a file in", "deleted"):
            self._client.delete_object(Bucket=self._store.bucket, Key=self._prefix + name)

    def _trouble(self, which: str, what: str) -> contextlib.AbstractContextManager[None]:
        from lakehouse.s3.probe import s3_errors

        return s3_errors(self._store, f'{which} "{self._folder}" cannot be {what}')
