"""Flows run in this process over real stores on a folder, until they have caught up; and what the stores then hold."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from bytewax.testing import run_main
from deltalake import DeltaTable, QueryBuilder

from contracts.answers import LedgerTotal
from contracts.errors import BusError, StoreError
from contracts.messages import Kind, Message, from_headers
from contracts.query import All, RecordQuery
from contracts.settings import Settings
from flows.connections import Connections
from flows.graph import build
from lakehouse.s3.store import reading_options
from tests.flows.messages import TENANT
from tests.settings import settings

EPOCH = dt.timedelta(seconds=1)
DEADLINE_S = 120.0  # engines on a busy machine; whoever hangs is ended by the test's own time


class World:
    """A bus and stores below `folder`."""

    def __init__(self, folder: Path, **values: Any) -> None:
        quick = {"hot_commit_s": 0.05, "lake_commit_s": 0.2, "flow_poll_ms": 5, "bus_group_commit_ms": 0}
        self.settings: Settings = settings(data_dir=folder / "data", **{**quick, **values})
        self.connections = Connections(self.settings)

    def append(self, *messages: Message, kind: Kind = Kind.LOGS, key: str = "") -> None:
        for message in messages:
            head = from_headers(message.headers) if "headwater-batch" in message.headers and not key else None
            self.connections.bus.append(kind.topic, key or (head.stream_key if head else "foreign"), [message])

    def behind(self, kinds: Sequence[Kind]) -> bool:
        for kind in kinds:
            done = self.connections.checkpoints(kind)
            bus = self.connections.bus
            extents = bus.extents(kind.topic)
            bases = self.connections.lake.bases(kind, bus.identity(kind.topic), extents)
            for partition, extent in extents.items():
                base = bases[partition].own
                if done.get(partition, 0) - (base or 0) < extent.next_offset or (base is None and extent.next_offset):
                    return True
        return False

    def run(self, *kinds: Kind) -> None:
        """Run the flows of `kinds` (default: logs and dead letters) until they have caught up, and stop them."""
        wanted = kinds or (Kind.LOGS, Kind.DEAD_LETTERS)
        stop, ended = threading.Event(), threading.Event()
        connections = self.connections
        opened = (connections.hot, connections.lake, connections.bus)  # before two threads look at them
        assert all(opened)

        def watch() -> None:
            deadline = time.monotonic() + DEADLINE_S
            while not ended.wait(0.02) and time.monotonic() < deadline:
                with contextlib.suppress(Exception):
                    if not self.behind(wanted):
                        break
            stop.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            run_main(build("test", wanted, connections, stop), epoch_interval=EPOCH)  # type: ignore[no-untyped-call]  # compiled, without stubs
        finally:
            ended.set()
            watcher.join()
        assert not self.behind(wanted), "the flow did not catch up"

    def run_during(self, scenario: Callable[[], object], *kinds: Kind) -> None:
        """Run the flows of `kinds` (default: logs and dead letters) until `scenario` ends, on a thread of its own."""
        stop, failures = threading.Event(), list[BaseException]()
        connections = self.connections
        assert all((connections.hot, connections.lake, connections.bus))

        def play() -> None:
            try:
                scenario()
            except BaseException as error:
                failures.append(error)
            finally:
                stop.set()

        player = threading.Thread(target=play)
        player.start()
        try:
            wanted = kinds or (Kind.LOGS, Kind.DEAD_LETTERS)
            run_main(build("test", wanted, connections, stop), epoch_interval=EPOCH)  # type: ignore[no-untyped-call]  # compiled, without stubs
        finally:
            stop.set()
            player.join()
        if failures:
            raise failures[0]

    def reopen(self) -> None:
        """As a new process would see it."""
        self.connections.close()
        self.connections = Connections(self.settings)

    def hot_bodies(self, kind: Kind = Kind.LOGS) -> Counter[str]:
        hot = self.connections.hot
        found = hot.search(TENANT, RecordQuery(kind, All(), None, None, 1_000_000), hot.days(kind))
        return Counter(str(record.fields.get("body", record.fields.get("name"))) for record in found)

    def lake_rows(self, table: str = "logs", columns: str = "*") -> list[dict[str, Any]]:
        options = reading_options(self.settings.lake, self.settings)
        rows_of = DeltaTable(f"{self.settings.lake}/{table}", storage_options=options)
        answer = QueryBuilder().register("t", rows_of).execute(f"SELECT {columns} FROM t")
        rows: list[dict[str, Any]] = pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()
        return rows

    def lake_bodies(self) -> Counter[str]:
        return Counter(row["body"] for row in self.lake_rows())

    def ledger(self, kind: Kind = Kind.LOGS) -> LedgerTotal:
        """The account of `kind`, after a look at its equation and at what the table holds."""
        (total,) = [entry for entry in self.connections.lake.ledger(TENANT) if entry.kind is kind]
        accounted = total.landed + total.duplicates + total.dead_lettered + sum(total.dropped.values())
        assert total.received == accounted
        assert total.landed == total.stored
        return total


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """A store that cannot be used: a file stands in the place of its folder, which comes back as it was."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it; a store that cannot be asked at the moment says nothing."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(StoreError, BusError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")
