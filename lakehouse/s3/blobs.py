"""Small files beside the tables of the lake -> written whole, read, listed and deleted, in a folder or on S3.

Not for records: a file is one request, and is held in memory. Thread-safe.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.s3.store import ObjectStore, object_store


class Blobs(Protocol):
    """Names have no slash. Every call blocks and may raise `StoreError`; it may be repeated."""

    def names(self) -> Sequence[str]: ...

    def read(self, name: str) -> bytes | None:
        """None: there is no such file."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Durable on return, and whole at any time. Replaces a file of that name."""
        ...

    def delete(self, name: str) -> None:
        """A file that is not there is no failure."""
        ...


def open_blobs(url: str, settings: Settings, folder: str) -> Blobs:
    """The files in `folder` (parts joined by slashes) below the lake at `url`; nothing is made before it is written.

    Raises:
        ConfigError: The URL, or the settings of its object store, cannot work.
    """
    store = object_store(url, settings)
    return _Folder(Path(url) / folder) if store is None else _Bucket(store, settings.s3_write_timeout_s, folder)


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
            with tempfile.NamedTemporaryFile(dir=self._path, prefix=".", delete=False) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._path / name)
            self._sync()
        except OSError as error:
            raise self._trouble("written", error) from error

    def _sync(self) -> None:
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def delete(self, name: str) -> None:
        try:
            (self._path / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble("deleted", error) from error

    def _trouble(self, what: str, error: OSError) -> StoreError:
        return StoreError(
            f'files in "{self._path}" cannot be {what}: {error.strerror}',
            hint="check the rights and the free space of the lake's folder",
            retry_after_s=5,
        )


class _Bucket:
    def __init__(self, store: ObjectStore, timeout_s: float, folder: str) -> None:
        self._store = store
        self._client = store.client(timeout_s)
        self._prefix = "/".join(filter(None, (store.prefix, folder))) + "/"

    def names(self) -> Sequence[str]:
        from lakehouse.s3.probe import told

        with told(self._store, "files beside the tables cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._store.bucket, Prefix=self._prefix
            )
            return [each["Key"].removeprefix(self._prefix) for page in pages for each in page.get("Contents", ())]

    def read(self, name: str) -> bytes | None:
        from botocore.exceptions import ClientError

        from lakehouse.s3.probe import told

        with told(self._store, "a file beside the tables cannot be read"):
            try:
                return self._client.get_object(Bucket=self._store.bucket, Key=self._prefix + name)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return None
                raise

    def write(self, name: str, content: bytes) -> None:
        from lakehouse.s3.probe import told

        with told(self._store, "a file beside the tables cannot be written"):
            self._client.put_object(Bucket=self._store.bucket, Key=self._prefix + name, Body=content)

    def delete(self, name: str) -> None:
        from lakehouse.s3.probe import told

        with told(self._store, "a file beside the tables cannot be deleted"):
            self._client.delete_object(Bucket=self._store.bucket, Key=self._prefix + name)
