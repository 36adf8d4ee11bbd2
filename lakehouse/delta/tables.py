"""Tables: the tables below one URL -> handles of their newest versions, for reads by many threads.

After a failure the object store is not asked for as long as the failure took; queries in that time fail at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.delta.layout import WARM, Layout
from lakehouse.delta.table import Delta, translated
from lakehouse.s3.store import object_store, reading_options

AWAY_REST_S = 1.0  # shortest pause after a failure


def exists(url: str, name: str, storage_options: Mapping[str, str] | None = None) -> bool:
    """True if table `name` exists below `url`.

    Opens the table: `DeltaTable.is_deltatable` holds the interpreter until the object store answers, and no other
    thread of the process can run meanwhile.

    Raises:
        StoreError: The URL cannot be read, or the table's log is damaged.
    """
    with translated(f'table "{name}" cannot be looked for'):
        try:
            DeltaTable(f"{url.rstrip('/')}/{name}", storage_options=dict(storage_options or {}))
        except TableNotFoundError:
            return False
        return True


@dataclass(slots=True)
class _Handle:
    """A table and a lock for its users, as only one thread at a time may use a handle of the library.

    Attributes:
        table: None until opened.
        asked_s: Start of the last refresh.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    table: Delta | None = None
    asked_s: float = 0.0


class Tables:
    """Thread-safe. A table that waits for the object store blocks no other table. Opens a table at its first use.

    Args:
        url: Folder, or s3://bucket/prefix.
        create: True: a missing table is created at its first use; False: a missing table is an error.
        rest_s: Shortest pause after a failure; None: `AWAY_REST_S` for an object store, no pause for a folder.

    Raises:
        ConfigError: The URL, or the settings of its object store, cannot work.
    """

    def __init__(
        self, url: str, settings: Settings, layout: Layout = WARM, create: bool = True, rest_s: float | None = None
    ) -> None:
        self.url = url
        self.store = object_store(url, settings)
        self._options = reading_options(url, settings)
        self._layout, self._creates = layout, create
        self._rest_s = AWAY_REST_S if rest_s is None and self.store is not None else rest_s
        self._lock = threading.Lock()  # guards the next two; never held during a request to the store
        self._handles: dict[str, _Handle] = {}
        self._failure: tuple[float, StoreError] | None = None  # end of the pause, and the failure

    @contextmanager
    def newest(self, name: str) -> Iterator[Delta]:
        """The table at a version read after this call began, for one thread at a time."""
        called_s = time.monotonic()
        with self._lock:
            handle = self._handles.setdefault(name, _Handle())
        with handle.lock:
            table = handle.table
            if table is None or handle.asked_s < called_s:  # else another thread refreshed it while this call waited
                table = self._refresh(name, handle)
            yield table

    def has(self, name: str) -> bool:
        """True if the table exists.

        Raises:
            StoreError: The URL cannot be read.
        """
        with self._lock:
            handle = self._handles.get(name)
        return (handle is not None and handle.table is not None) or exists(self.url, name, self._options)

    def _refresh(self, name: str, handle: _Handle) -> Delta:
        self._respect_failure()
        began_s = time.monotonic()
        try:
            table = handle.table or Delta(self.url, name, self._options, self._layout, self._creates)
            handle.table = table
            table.refresh()
        except StoreError as error:
            if self._rest_s is not None:
                ended_s = time.monotonic()
                with self._lock:
                    self._failure = (ended_s + max(ended_s - began_s, self._rest_s), error)
            raise
        handle.asked_s = began_s
        with self._lock:
            self._failure = None
        return table

    def _respect_failure(self) -> None:
        with self._lock:
            failure = self._failure
        if failure is not None and time.monotonic() < failure[0]:
            known = failure[1]
            raise StoreError(str(known), hint=known.hint, retry_after_s=known.retry_after_s) from known

    def close(self) -> None:
        """Forget all handles; running queries finish. Idempotent."""
        with self._lock:
            self._handles.clear()
