"""Dead letters: bus topic `dead_letters` -> Delta `dead_letters`.

    python -m bytewax.run flows.dead_letters [-w N] [-r data/recovery/dead_letters -s 10 -b 60]

The item is a batch: one accepted request. Parallelism: bus partitions, shared by `-w N` workers. Exactly once visible:
each sink commits its rows together with its position and skips what it already has; a replay after a crash is harmless.
A recovery store may be given and is not needed.
"""

from __future__ import annotations

from bytewax.dataflow import Dataflow

from contracts.messages import Kind
from flows.alone import flow_of


def __getattr__(name: str) -> Dataflow:
    if name == "flow":  # made when asked for: importing opens nothing and takes over no signals
        return flow_of(Kind.DEAD_LETTERS)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
