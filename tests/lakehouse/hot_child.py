"""A process that writes a seeded load into a hot store and kills itself at step N of its writes.

    python -m tests.lakehouse.hot_child FOLDER SEED STEP [sabotage]

Steps are counted at every boundary between two durable effects: before and after an index commit, before and after the
progress file is replaced. `sabotage` leaves the checkpoints out of the commit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

from contracts.batches import Batch
from contracts.messages import Kind
from lakehouse import open_hot
from lakehouse.hot.tantivy.day import DayWriter
from lakehouse.hot.tantivy.folder import KindFolder
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS, batch, log
from tests.settings import settings

OFFSETS, PARTITIONS = 30, 2


def load(seed: int) -> list[Batch]:
    """The batches of the bus, in an order in which a flow may see them: offsets ascend in each partition."""
    rng = random.Random(seed)
    queues = [list(range(OFFSETS)) for _ in range(PARTITIONS)]
    batches = []
    while any(queues):
        partition = rng.choice([number for number, queue in enumerate(queues) if queue])
        offset = queues[partition].pop(0)
        rows = [log(index, body=f"{partition}-{offset}-{index}") for index in range(rng.randrange(4))]
        arrived = NOON_NS + rng.choice((0, 0, DAY_NS))
        batches.append(batch(*rows, offset=offset, partition=partition, received_ns=arrived))
    return batches


def die_at(step: int) -> None:
    """Count the steps of every write from here on; SIGKILL at number `step`."""
    left = [step]

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            _count(left)
            result = work(*arguments)
            _count(left)
            return result

        return counted

    DayWriter.commit = around(DayWriter.commit)  # type: ignore[method-assign]  # the patch is the test
    DayWriter.add = around(DayWriter.add)  # type: ignore[method-assign]  # the same
    KindFolder.write_progress = around(KindFolder.write_progress)  # type: ignore[method-assign]  # the same


def _count(left: list[int]) -> None:
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def run(folder: str, seed: int) -> None:
    """Replay everything past the checkpoints, committing now and then."""
    rng = random.Random(seed + 1)
    hot = open_hot(f"tantivy://{folder}", settings())
    with contextlib.closing(hot.writer(Kind.LOGS)) as writer:
        known = writer.checkpoints()
        for one in load(seed):
            if one.offset >= known.get(one.partition, 0):
                writer.append([one])
            if rng.random() < 0.3:
                writer.commit()
        writer.commit()


if __name__ == "__main__":
    if "sabotage" in sys.argv:
        DayWriter.stage_checkpoints = lambda self: None  # type: ignore[method-assign]  # the sabotage
    if int(sys.argv[3]):
        die_at(int(sys.argv[3]))
    run(sys.argv[1], int(sys.argv[2]))
