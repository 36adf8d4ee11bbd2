"""Table `erasures`: what was asked to be erased -> tombstones that the flows read, and what has become of it.

A row is written when an erasure begins and stays for good: whatever is replayed later, from a bus, a copy of one or a
restored folder, is dropped by it. A second row, with the receipt, says that it is done.
"""

from __future__ import annotations

import bisect
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from deltalake import QueryBuilder

from contracts.batches import arrival_day
from contracts.errors import ConfigError, StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import Node
from contracts.query_json import from_json, to_json
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.delta.races import retried
from lakehouse.delta.schemas import ERASURES, SCHEMAS
from lakehouse.delta.table import Delta, translated
from lakehouse.delta.tables import exists
from lakehouse.s3.store import reading_options

if TYPE_CHECKING:  # what tests rows takes the hot store's engine, which schedules do not need
    from lakehouse.lake.erasure_tests import Subject, Tests

_FENCE = "erasures:fence"
ASKED, DONE = "asked", "done"
LOOKS, LOOK_PAUSE_S = 6, 0.2  # at a day that a flow is taking out of the hot store


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be erased.

    Attributes:
        id: Of the erasure; names its receipt.
        where: The query by kind; a kind that is absent has nothing that matches.
        query: As the user wrote it.
        at_ns: Records received before go; a multiple of 1,000.
        reason, requested_by: For the receipt.
    """

    id: str
    tenant: Tenant
    where: dict[Kind, Node]
    query: str
    at_ns: int
    reason: str = ""
    requested_by: str = ""

    @property
    def subject(self) -> Subject:
        from lakehouse.lake.erasure_tests import Subject

        return Subject(self.tenant, self.where, self.at_ns)


class _Stored(msgspec.Struct):
    where: str
    query: str
    at_ns: int
    reason: str
    requested_by: str


def begin(table: Delta, request: Request, now_ns: int) -> None:
    """Leave the tombstone. Durable on return; idempotent.

    Raises:
        StoreError: It may or may not be there; the same call may be repeated.
    """
    stored = _Stored(
        to_json({kind.value: node for kind, node in request.where.items()}),
        request.query,
        request.at_ns,
        request.reason,
        request.requested_by,
    )
    _say(table, request, ASKED, now_ns, msgspec.json.encode(stored).decode())


def finish(table: Delta, request: Request, now_ns: int, receipt: str) -> None:
    """Note that it is done, with its receipt. Durable on return; idempotent."""
    _say(table, request, DONE, now_ns, receipt)


def _say(table: Delta, request: Request, state: str, now_ns: int, text: str) -> None:
    row = {"day": arrival_day(now_ns), "tenant": request.tenant, "id": request.id, "state": state, "said_ns": now_ns}
    rows = pa.Table.from_pylist([{**row, "text": text}], SCHEMAS[ERASURES])

    def said() -> None:
        table.refresh()
        if not any(known["id"] == request.id and known["state"] == state for known in _rows(table)):
            table.append(ERASURES, rows, {})

    retried(table, said)


def fence(table: Delta) -> dict[str, int]:
    """What an erasure notes in a table of records between its tombstone and its first look, and what writers beside the
    flows note with their rows: of two that began with the same version one fails, and looks again."""
    return {_FENCE: (table.noted(_FENCE) or 0) + 1}


def asked(table: Delta) -> Sequence[Request]:
    """Every erasure there ever was, in the order they began.

    Raises:
        StoreError: The table cannot be read.
    """
    return [_request(row) for row in _rows(table) if row["state"] == ASKED]


def unfinished(table: Delta) -> Sequence[Request]:
    """Those that began and did not end."""
    rows = _rows(table)
    done = _done(rows)
    return [_request(row) for row in rows if row["state"] == ASKED and row["id"] not in done]


def _done(rows: Iterable[dict[str, str]]) -> set[str]:
    return {row["id"] for row in rows if row["state"] == DONE}


def _rows(table: Delta) -> list[dict[str, str]]:
    with translated("table of erasures cannot be read"):
        builder = QueryBuilder()
        table.register(builder)
        answer = builder.execute(f"SELECT * FROM {table.name} ORDER BY said_ns, id")
        return pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()


def _request(row: dict[str, str]) -> Request:
    try:
        stored = msgspec.json.decode(row["text"], type=_Stored)
        where = {Kind(name): node for name, node in from_json(stored.where).items()}
    except ValueError as error:
        # A tombstone that this release cannot read must not be passed over: what it names would be back.
        raise StoreError(f'erasure "{row["id"]}" cannot be read: {error}', hint="upgrade this process") from error
    tenant = Tenant(row["tenant"])
    return Request(row["id"], tenant, where, stored.query, stored.at_ns, stored.reason, stored.requested_by)


def days_with(hot: HotStore, kind: Kind, request: Request) -> list[dt.date]:
    """Days whose index holds records that match, whenever they were received.

    Raises:
        StoreError: The hot store cannot be read.
    """
    where = request.where.get(kind)
    if where is None:
        return []
    held = [held.day for held in hot.held(kind)]
    return [day for day in held if _holds(hot, kind, request.tenant, where, day)]


def _holds(hot: HotStore, kind: Kind, tenant: Tenant, where: Node, day: dt.date) -> bool:
    """A flow may take the day out of the hot store while it is looked into."""
    for looks_left in reversed(range(LOOKS)):
        try:
            return bool(hot.count(tenant, kind, where, None, None, [day]))
        except StoreError:
            if not looks_left:
                raise
            if day not in {held.day for held in hot.held(kind)}:
                break
            time.sleep(LOOK_PAUSE_S)
    return False


class _OfTenant:
    """Erasures of one tenant, ordered by the time before which records go.

    The tests of an erasure are compiled when the first record from before it arrives. After an erasure has ended, that
    happens only on a replay.
    """

    def __init__(self) -> None:
        self._before_ns: list[int] = []
        self._requests: list[Request] = []
        self._tests: dict[str, Tests] = {}  # by the id of the erasure

    def add(self, request: Request) -> None:
        at = bisect.bisect_right(self._before_ns, request.at_ns)
        self._before_ns.insert(at, request.at_ns)
        self._requests.insert(at, request)

    def after(self, received_ns: int) -> list[Tests]:
        from lakehouse.lake.erasure_tests import Tests

        wanted = self._requests[bisect.bisect_right(self._before_ns, received_ns) :]
        for request in wanted:
            if request.id not in self._tests:
                self._tests[request.id] = Tests(request.subject)
        return [self._tests[request.id] for request in wanted]


class Tombstones:
    """What the flows look at before they let a record pass. Thread-safe; makes no table.

    Args:
        url: Of the lake.
        clock: Seconds; a look is at most `erase_look_s` old.
    """

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._settings, self._clock = url, settings, clock
        self._lock = threading.Lock()
        self._table: Delta | None = None
        self._version = -1
        self._looked_s: float | None = None
        self._tenants: dict[Tenant, _OfTenant] = {}
        self._asked: dict[str, Request] = {}  # every erasure by its id
        self._open: list[Request] = []

    def of(self, tenant: Tenant, received_ns: int = 0) -> Sequence[Tests]:
        """The erasures of a tenant that a record received at `received_ns` or later may belong to. Of a batch that has
        just arrived there are none, however many erasures have ended: the answer costs a look at the clock.

        Raises:
            StoreError: The erasures cannot be read. No record may pass before they can.
        """
        with self._lock:
            self._look()
            known = self._tenants.get(tenant)
            return known.after(received_ns) if known else ()

    def unfinished(self) -> Sequence[Request]:
        """Those that began and did not end. Raises as of `of`."""
        with self._lock:
            self._look()
            return self._open

    def _look(self) -> None:
        now_s = self._clock()
        if self._looked_s is not None and now_s - self._looked_s < self._settings.erase_look_s:
            return
        if self._table is None and not self._opened():
            self._looked_s = now_s
            return
        assert self._table is not None
        self._table.refresh()
        if self._table.version != self._version:
            self._read(self._table)
            self._version = self._table.version
        self._looked_s = now_s

    def _opened(self) -> bool:
        options = reading_options(self._url, self._settings)
        if exists(self._url, ERASURES, options):
            self._table = Delta(self._url, ERASURES, options)
        return self._table is not None

    def _read(self, table: Delta) -> None:
        rows = _rows(table)
        for row in rows:
            if row["state"] == ASKED and row["id"] not in self._asked:
                request = self._asked[row["id"]] = _request(row)
                self._tenants.setdefault(request.tenant, _OfTenant()).add(request)
        done = _done(rows)
        self._open = [request for request in self._asked.values() if request.id not in done]


def checked(request: Request) -> None:
    """Refuse what no erasure may be.

    Raises:
        ConfigError: Nothing, or everything, would be erased.
    """
    if not request.where:
        raise ConfigError("the query fits no kind of record", hint="name a field that logs, metrics or events have")
    if request.at_ns % 1000:
        raise ConfigError(f"time {request.at_ns} is no whole microsecond", hint="cut it to whole microseconds")
