"""The lake alone: seeded logs and metrics -> CPU per million records written, bytes per record, warm query times.

    python -m benchmarks.lake [RECORDS]

In a temporary folder, or in a new prefix below HEADWATER_LAKE_URL. CPU is process time, threads included. Batches of
1,000 rows; making the rows is not counted.
"""

from __future__ import annotations

import functools
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind
from contracts.query import All, And, MetricQuery, Node, RecordQuery, Term
from contracts.records import LogRow, MetricRow
from contracts.settings import Settings, load_settings
from contracts.tenants import tenant_named
from lakehouse.lake.store import Lake
from lakehouse.read.search import Search

TENANT = tenant_named("bench")
START_NS = 1_772_625_600 * 10**9
BATCH_ROWS = 1000
SEED = 1


@functools.cache
def given_at(second_ns: int) -> str:
    """As rows of an agent have it."""
    return f'{{"v":2,"attributes":["log.file.name","log.file.path"],"observed":{second_ns}}}'


def log_row(index: int, at_ns: int, chance: random.Random) -> LogRow:
    status = chance.choice((200, 200, 200, 404, 500))
    body = f"GET /api/v1/items/{chance.randrange(10**6)} status {status} in {chance.randrange(900)} ms for user "
    body += f"{chance.randrange(10**5)} from 10.0.{chance.randrange(256)}.{chance.randrange(256)} via gateway"
    attributes = {"http.status": status, "path": "/api/v1/items", "ms": chance.randrange(900)}
    severity, text = (17, "ERROR") if status == 500 else (9, "INFO")
    service = f"service-{min(int(chance.paretovariate(1)), 40)}"
    host, given = f"host-{chance.randrange(30)}", given_at(at_ns - at_ns % 10**9)
    return LogRow(index, at_ns, severity, text, service, "prod", host, body, attributes, "", "", given, "UTC")


def metric_row(index: int, at_ns: int, chance: random.Random) -> MetricRow:
    name = f"system.cpu.{chance.randrange(20)}"
    host = f"host-{chance.randrange(30)}"
    return MetricRow(index, at_ns, name, chance.random(), "1", "gauge", "node", "prod", host, {"cpu": index % 8})


def batches(kind: Kind, records: int) -> Iterator[Batch]:
    chance = random.Random(SEED)
    make: Callable[..., Any] = log_row if kind is Kind.LOGS else metric_row
    for number in range(records // BATCH_ROWS):
        at_ns = START_NS + number * 50_000_000
        rows = [make(line, at_ns + line * 50_000, chance) for line in range(BATCH_ROWS)]
        header = BatchHeader(
            tenant=TENANT, kind=kind, producer="p", sequence=number * BATCH_ROWS, received_ns=at_ns + 10**9
        )
        yield Batch(header, number % 2, number // 2, rows, received=len(rows))


def write(lake: Lake, kind: Kind, records: int) -> None:
    writer, cpu_s, wall_s = lake.writer(kind), 0.0, 0.0
    for item in batches(kind, records):
        cpu, wall = time.process_time(), time.perf_counter()
        writer.append([item])
        cpu_s, wall_s = cpu_s + time.process_time() - cpu, wall_s + time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    writer.commit()
    cpu_s, wall_s = cpu_s + time.process_time() - cpu, wall_s + time.perf_counter() - wall
    size = next(size for size in lake.tables() if size.kind == kind)
    per_million = 1e6 / records
    print(
        f"{kind:8} {records:>9} records  {cpu_s * per_million:5.2f} CPU-s/M  {wall_s * per_million:5.2f} s/M  "
        f"{size.bytes / size.rows:5.1f} B/record in {size.files} files"
    )


def median_ms(run: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times + 1):
        started = time.perf_counter()
        run()
        taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken[1:])[times // 2]


def ask(lake: Lake, settings: Settings) -> None:
    search = Search(None, lake, settings)
    end_ns = START_NS + 3600 * 10**9

    def logs(where: Node) -> Callable[[], object]:
        return lambda: search.records(TENANT, RecordQuery(Kind.LOGS, where, None, None, 100))

    def series(agg: str) -> Callable[[], object]:
        asked = MetricQuery("system.cpu.3", agg, 10 * 10**9, START_NS, end_ns, All(), ("host",))
        return lambda: search.metrics(TENANT, asked)

    questions = {
        "newest 100": logs(All()),
        "term, frequent": logs(Term("body", "gateway")),
        "term, rare": logs(Term("body", "123456")),
        "phrase in a service": logs(And((Term("service", "service-3"), Term("body", "status 500")))),
        "attribute": logs(Term("attributes.ms", "42")),
        "services": lambda: search.services(TENANT, START_NS, end_ns),
        "metric avg by host": series("avg"),
        "metric p99 by host": series("p99"),
    }
    for name, run in questions.items():
        print(f"{name:22} {median_ms(run):7.1f} ms")


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        url = f"{settings.lake_url}/bench-{uuid.uuid4().hex}" if settings.lake_url else folder
        lake = Lake(url, settings)
        write(lake, Kind.LOGS, records)
        write(lake, Kind.METRICS, records // 2)
        ask(lake, settings)
        lake.close()


if __name__ == "__main__":
    main()
