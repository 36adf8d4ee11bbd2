"""Days: the corpus, arrival day by arrival day -> rows in the lake as flows land them, and the same records as NDJSON.

One agent tails a file per service; 1,000 lines are a message, parsed by the flow's own parser. Two processes make a
million rows, this one commits them: small commits, the ledger's after each, the open day's files compacted as flows do.
Further millions have the texts of the first and times and ids of their own: in any order that matters here, a text
comes again so much later that no compression remembers it. The NDJSON is what the agent sends, packed by `zstd -3`.
"""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from benchmarks.corpus import BASE_NS, Line, lines
from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import Settings
from contracts.tenants import tenant_named
from flows.arrivals import arrival
from flows.graph import parser
from lakehouse.delta.schemas import LEDGER, pending_table, record_batch, sorted_rows
from lakehouse.delta.table import Delta
from lakehouse.lake.writer import Account, CommitUpkeep, ledger_rows

TENANT = tenant_named("default")
FIRST_DAY = dt.datetime.fromtimestamp(BASE_NS / 1e9, dt.UTC).date()
DAY_NS = 86_400 * 10**9
MESSAGE_LINES = 1000
SLICE_LINES = 250_000
MAKERS = 2
MADE = 4  # slices; the others are made of them


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a day that one process makes: its place among all, its lines, and where it goes."""

    number: int
    day: int
    first: int
    count: int
    folder: Path

    @property
    def rows(self) -> Path:
        return self.folder / f"{self.number}.arrow"

    @property
    def ndjson(self) -> Path:
        return self.folder / f"{self.number}.ndjson.zst"

    @property
    def start_ns(self) -> int:
        return BASE_NS + self.day * DAY_NS + self.first * 1_000_000

    @property
    def offset(self) -> int:
        return self.number * SLICE_LINES  # more than it has messages: offsets have gaps between slices, as on Kafka


def slices(days: Sequence[int], folder: Path) -> list[Slice]:
    """`days` says how many records each has."""
    made: list[Slice] = []
    for day, count in enumerate(days):
        for first in range(0, count, SLICE_LINES):
            made.append(Slice(len(made), day, first, min(SLICE_LINES, count - first), folder))
    return made


def _messages(part: Slice) -> Iterator[list[Line]]:
    """Lines of one service at a time, in the order in which their messages are full; then what is left."""
    waiting: dict[str, list[Line]] = {}
    for line in lines(part.count, seed=part.number + 1, base_ns=part.start_ns):
        held = waiting.setdefault(line.service, [])
        held.append(line)
        if len(held) == MESSAGE_LINES:
            yield waiting.pop(line.service)
    yield from waiting.values()


def _payload(message: Sequence[Line]) -> bytes:
    service, received_ns = message[0].service, message[-1].timestamp_ns
    attributes = {"log.file.name": f"{service}.log", "log.file.path": f"/var/log/shop/{service}.log"}
    records = (
        {
            "body": line.text,
            "observed_timestamp": received_ns,
            "service": service,
            "env": "bench",
            "host": "host-1",
            "attributes": attributes,
        }
        for line in message
    )
    return b"\n".join(map(msgspec.json.encode, records))


def make(part: Slice) -> None:
    """Write a slice's rows and its NDJSON."""
    from contracts.settings import load_settings

    parse, sequence = parser(Kind.LOGS, load_settings()), dict.fromkeys(("",), 0)
    writer: pa.RecordBatchStreamWriter | None = None
    with part.ndjson.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
        for number, message in enumerate(_messages(part)):
            stream, payload = f"{message[0].service}.log", _payload(message)
            packed.write(payload + b"\n")
            head = BatchHeader(
                tenant=TENANT,
                kind=Kind.LOGS,
                producer="agent",
                epoch=1,
                stream=stream,
                sequence=part.number * SLICE_LINES + sequence.setdefault(stream, 0),
                count=len(message),
                span=len(message),
                received_ns=message[-1].timestamp_ns + 10**8,
            )
            sequence[stream] += len(message)
            sent = Message(payload, to_headers(head), part.offset + number, head.received_ns)
            batch = parse(arrival(Kind.LOGS, TENANT, 0, sent))
            if not isinstance(batch, Batch) or len(batch.rows) != len(message):
                raise SystemExit(f"{len(message)} records in, not as many rows out")
            rows = record_batch(batch, "headwater/bench")
            writer = writer or pa.ipc.new_stream(str(part.rows), rows.schema)
            writer.write_batch(rows)
    if writer is not None:
        writer.close()


def _moved(rows: pa.RecordBatch, made: Slice, part: Slice) -> pa.RecordBatch:
    """Rows of the slice `made` as rows of `part`."""
    us, place = (part.start_ns - made.start_ns) // 1000, (part.number - made.number) * SLICE_LINES
    steps = {"timestamp": us, "observed_timestamp": us, "day": part.day - made.day}
    steps |= {"bus_offset": place, "sequence": place}
    for name, step in steps.items():
        field, whole = rows.schema.field(name), pa.int32() if name == "day" else pa.int64()
        number: Any = pa.scalar(step, whole)
        column = pc.add(rows.column(name).cast(whole), number).cast(field.type)
        rows = rows.set_column(rows.schema.get_field_index(name), field, column)
    return rows


def _commits(made: Slice, part: Slice, most: int) -> Iterator[list[pa.RecordBatch]]:
    taken: list[pa.RecordBatch] = []
    left = part.count
    with made.rows.open("rb") as file, pa.ipc.open_stream(file) as reader:
        for rows in reader:
            taken.append(_moved(rows[:left], made, part))
            if not (left := left - len(taken[-1])):
                break
            if sum(map(len, taken)) >= most:
                yield taken
                taken = []
    if taken:
        yield taken


@dataclass(frozen=True, slots=True)
class Landed:
    """What stands in the lake, and how large the same records are as NDJSON under `zstd -3`."""

    days: tuple[dt.date, ...]
    rows: tuple[int, ...]
    commits: int
    ndjson_bytes: int


def land(settings: Settings, days: Sequence[int], folder: Path, commit_rows: int) -> Landed:
    """Make the records of all days and commit them in order, `commit_rows` at a time."""
    parts, commits, size = slices(days, folder), 0, 0
    tables = Delta(settings.lake, Kind.LOGS.value), Delta(settings.lake, LEDGER)
    upkeep = [CommitUpkeep(table) for table in tables]
    spawn = multiprocessing.get_context("spawn")  # threads of the libraries do not survive a fork
    with concurrent.futures.ProcessPoolExecutor(MAKERS, mp_context=spawn) as makers:
        most = max(part.count for part in parts)
        makings = [(part, makers.submit(make, part)) for part in parts[:MADE] if part.count == most]
        for part in parts:
            made, making = makings[part.number % len(makings)]
            making.result()
            size += made.ndjson.stat().st_size * part.count // made.count
            for taken in _commits(made, part, commit_rows):
                rows, end = sorted_rows(pending_table(Kind.LOGS, taken)), taken[-1].column("bus_offset")[0].as_py() + 1
                first, day = taken[0].column("bus_offset")[0].as_py(), taken[0].column("day")[0].as_py()
                account = Account(TENANT, 0, first, end, day, received=rows.num_rows, landed=rows.num_rows)
                for table, care, what in zip(tables, upkeep, (rows, ledger_rows(Kind.LOGS, [account])), strict=True):
                    table.append(Kind.LOGS.value, what, {0: end})
                    care.after_commit(what)
                commits += 1
    dates = tuple(FIRST_DAY + dt.timedelta(days=day) for day in range(len(days)))
    return Landed(dates, tuple(days), commits, size)
