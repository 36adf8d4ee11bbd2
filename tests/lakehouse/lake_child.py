"""A process that writes a fixed run of batches to a lake, from its checkpoints on, and dies where it is told to.

    python -m tests.lakehouse.lake_child URL BATCHES DIE_AT SABOTAGE

DIE_AT: "rows:N" or "ledger:N" kills it (SIGKILL) right after its N-th commit of that table, "" never.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

import pyarrow as pa

from contracts.messages import Kind
from lakehouse.delta.table import Delta
from lakehouse.lake import writer as lake_writer
from lakehouse.lake.writer import LakeWriter
from tests.lakehouse.lake_samples import batch, log
from tests.settings import settings

PARTITIONS = 2
ROWS = 5
COMMIT_BATCHES = 3


def die_at(place: str) -> None:
    table, _, count = place.partition(":")
    real, left = Delta.append, int(count)

    def append(self: Delta, kind: str, rows: pa.Table, landed: Mapping[int, int]) -> None:
        nonlocal left
        real(self, kind, rows, landed)
        left -= (self.name == "ledger") == (table == "ledger")
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Delta.append = append  # type: ignore[method-assign]  # the crash comes from outside the product


def write(url: str, batches: int) -> None:
    writer = LakeWriter(url, Kind.LOGS, settings())
    first = min((writer.checkpoints().get(part, 0) for part in range(PARTITIONS)), default=0)
    for count, offset in enumerate(range(first, batches), 1):
        for part in range(PARTITIONS):
            rows = (log(n, f"{part}-{offset}-{n}") for n in range(ROWS))
            writer.append([batch(*rows, offset=offset, partition=part)])
        if count % COMMIT_BATCHES == 0:
            writer.commit()
    writer.commit()


if __name__ == "__main__":
    if sys.argv[3]:
        die_at(sys.argv[3])
    if sys.argv[4]:
        lake_writer.already_landed = lambda table, kind: {}
    write(sys.argv[1], int(sys.argv[2]))
