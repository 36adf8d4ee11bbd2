"""Blobs: small files beside the tables of the lake, in a folder or on S3 -> write, read, list and delete.

Not for records: a file is one request and is held in memory. Thread-safe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileType, PyFileSystem

from contracts.errors import StoreError
from contracts.files import replace_file
from contracts.settings import Settings
from lakehouse.delta.table import translated
from lakehouse.s3.store import object_store, writing_options

BUFFER_BYTES, BLOCK_BYTES = 1 << 20, 1 << 18  # the handler accepts bytes only, and would get a view of a larger block


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
    if object_store(url, settings) is None:
        return _Folder(Path(url) / folder)
    return _Bucket(url, writing_options(url, settings), folder)


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


class _Bucket:
    """Uses the client of the tables, as another client would take 25 MiB."""

    def __init__(self, url: str, options: Mapping[str, str], folder: str) -> None:
        self._files = PyFileSystem(DeltaStorageHandler(url, dict(options)))
        self._folder = folder

    def names(self) -> Sequence[str]:
        with translated(f'files in "{self._folder}" cannot be listed'):
            found = self._files.get_file_info(FileSelector(self._folder, allow_not_found=True))
            return [each.base_name for each in found if each.type is FileType.File]

    def read(self, name: str) -> bytes | None:
        with translated(f'a file in "{self._folder}" cannot be read'):
            try:
                with self._files.open_input_file(self._path(name)) as file:
                    return file.readall()
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        with (
            translated(f'a file in "{self._folder}" cannot be written'),
            self._files.open_output_stream(self._path(name), buffer_size=BUFFER_BYTES) as file,
        ):
            for start in range(0, len(content), BLOCK_BYTES):
                file.write(content[start : start + BLOCK_BYTES])

    def delete(self, name: str) -> None:
        with translated(f'a file in "{self._folder}" cannot be deleted'), contextlib.suppress(FileNotFoundError):
            self._files.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"
