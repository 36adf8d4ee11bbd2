"""Erasures: CPU-seconds per million records that the flow's erasure check costs, by how many erasures have ended.

    python -m benchmarks.erasures [--records 200000]

Parsed batches of 1,000 records, all of them received after the erasures: what a flow meets every day. The best of five
rounds. The floor is 0.1 CPU-seconds per million records with 10,000 erasures.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from benchmarks.corpus import BASE_NS, lines
from benchmarks.parse import ROUNDS, TENANT, messages
from contracts.batches import Batch, arrival_day
from contracts.messages import Kind
from contracts.query import Term
from contracts.query_json import to_json
from contracts.settings import load_settings
from flows.arrivals import Item
from flows.graph import parser
from flows.write.erasing import Erasing
from lakehouse.delta.schemas import ERASURES, SCHEMAS
from lakehouse.delta.table import Delta
from lakehouse.lake.erasure_requests import ASKED, DONE, Tombstones

COUNTS = (0, 1_000, 10_000)


def ended(folder: str, count: int) -> Tombstones:
    """A lake with `count` erasures of users that have all ended."""
    rows = []
    for number in range(count):
        at_ns = BASE_NS + number * 1000
        where = to_json({kind.value: Term("attributes.user", f"user-{number}") for kind in (Kind.LOGS, Kind.EVENTS)})
        stored = msgspec.json.encode({"where": where, "query": "", "at_ns": at_ns, "reason": "", "requested_by": ""})
        row = {"day": arrival_day(at_ns), "tenant": TENANT, "id": f"e{number}", "said_ns": at_ns}
        rows += [{**row, "state": ASKED, "text": stored.decode()}, {**row, "state": DONE, "text": "{}"}]
    if rows:
        Delta(folder, ERASURES).append(ERASURES, pa.Table.from_pylist(rows, SCHEMAS[ERASURES]), {})
    return Tombstones(folder, load_settings())


def cpu_us(step: Erasing, batches: Sequence[Item]) -> float:
    """CPU-microseconds per record, which is CPU-seconds per million."""
    step(batches[0])  # reads the table of erasures
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for batch in batches:
            step(batch)
        rounds.append(time.process_time() - begun)
    return min(rounds) / sum(len(batch.rows) for batch in batches if isinstance(batch, Batch)) * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=200_000)
    texts = [entry.text for entry in lines(arguments.parse_args().records)]
    batches = [parser(Kind.LOGS, load_settings())(item) for item in messages(texts)]
    print(f"  {'erasures that ended':>20} {'CPU-s per million':>18}")
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            stones = ended(folder, count)
            step = Erasing(lambda stones=stones: stones, threading.Event(), lambda batch: [batch])  # type: ignore[misc]
            print(f"  {count:>20,} {cpu_us(step, batches):>18.4f}")


if __name__ == "__main__":
    main()
