"""Hot store alone: cost of indexing, size, and warm queries.

    python -m benchmarks.hot [RECORDS] [--every ROWS]

Rows are made before the clock starts; CPU is that of the whole process, indexing threads included.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.corpus import Line, lines
from contracts.batches import Batch
from contracts.hot import HotStore
from contracts.messages import BatchHeader, Kind
from contracts.query import All, And, Node, Range, RecordQuery, Term, Wildcard
from contracts.records import LogRow
from contracts.settings import load_settings
from contracts.tenants import tenant_named
from lakehouse import open_hot

TENANT = tenant_named("default")
BATCH = 1000
_PAIR = re.compile(r"(\w+)=(\d+|[^\s\"]+)")
_SEVERITY = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}


@functools.cache
def given_at(second_ns: int) -> str:
    """As rows of an agent have it."""
    return f'{{"v":2,"attributes":["log.file.name","log.file.path"],"observed":{second_ns}}}'


def row(index: int, line: Line) -> LogRow:
    """A parsed line, about as the flow would give it."""
    attributes: dict[str, object] = {}
    if line.text.startswith("{"):
        known = msgspec.json.decode(line.text)
        attributes = {name: value for name, value in known.items() if name not in ("time", "level", "msg")}
    elif line.text.startswith("ts="):
        pairs = _PAIR.findall(line.text.rsplit('"', 1)[-1])
        attributes = {name: int(value) if value.isdigit() else value for name, value in pairs}
    severity = _SEVERITY[line.level]
    host = f"host-{line.number % 7}"
    given = given_at(line.timestamp_ns - line.timestamp_ns % 10**9)
    return LogRow(
        index,
        line.timestamp_ns,
        severity,
        line.level,
        line.service,
        "prod",
        host,
        line.text,
        attributes,
        "",
        "",
        given,
        "UTC",
    )


def batches(count: int) -> Iterator[Batch]:
    source = lines(count)
    for offset in itertools.count():
        part = list(itertools.islice(source, BATCH))
        if not part:
            return
        header = BatchHeader(
            tenant=TENANT,
            kind=Kind.LOGS,
            producer="bench",
            epoch=1,
            stream="file",
            sequence=offset * BATCH,
            received_ns=part[-1].timestamp_ns,
        )
        yield Batch(header, offset % 2, offset // 2, [row(index, line) for index, line in enumerate(part)])


def index(hot: HotStore, made: Sequence[Batch], every: int) -> Mapping[str, float]:
    """Append and commit all of it; seconds."""
    commits = []
    cpu, wall, waiting = time.process_time(), time.perf_counter(), 0
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        for batch in made:
            writer.append([batch])
            waiting += len(batch.rows)
            if waiting >= every:
                commits.append(_commit(writer.commit))
                waiting = 0
        commits.append(_commit(writer.commit))
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "commit_s": statistics.median(commits),
        "commits": len(commits),
    }


def _commit(commit: object) -> float:
    start = time.perf_counter()
    assert callable(commit)
    commit()
    return time.perf_counter() - start


def questions(unique: str) -> dict[str, Node]:
    return {
        "rare term": Term("body", unique),
        "common term": Term("body", "the"),
        "phrase": Term("body", "payment provider"),
        "keyword and range": And((Term("service", "gateway"), Range("severity_number", 17, None))),
        "wildcard prefix": Wildcard("body", "tok1*"),
        "attribute equality": Term("attributes.user", "u-42"),
        "attribute range": Range("attributes.duration_ms", 1990, None),
        "everything": All(),
    }


def ask(hot: HotStore, node: Node) -> tuple[int, float]:
    """Hits of the newest-100 page, and its warm median in milliseconds."""
    query = RecordQuery(Kind.LOGS, node, None, None, 100)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        found = hot.search(TENANT, query, hot.days(Kind.LOGS))
        times.append((time.perf_counter() - start) * 1000)
    return len(found), statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot")
    parser.add_argument("records", nargs="?", type=int, default=300_000)
    parser.add_argument("--every", type=int, default=50_000, help="rows of a commit")
    options = parser.parse_args()
    made = list(batches(options.records))
    unique = next(line.unique for line in lines(options.records) if line.unique)
    settings = load_settings(_env_file=None)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.closing(open_hot(f"tantivy://{folder}", settings)) as hot,
    ):
        spent = index(hot, made, options.every)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        millions = options.records / 1e6
        print(f"CPU-s per million records   {spent['cpu_s'] / millions:8.2f}")
        print(f"wall s per million records  {spent['wall_s'] / millions:8.2f}")
        print(f"bytes per record            {size / options.records:8.1f}")
        print(f"median commit, ms           {spent['commit_s'] * 1000:8.1f}  ({spent['commits']:.0f} commits)")
        for name, node in questions(unique).items():
            hits, median_ms = ask(hot, node)
            print(f"{name:<27} {median_ms:8.2f} ms  {hits} hits")


if __name__ == "__main__":
    main()
