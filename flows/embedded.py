"""All kinds in one graph and one process: bus -> hot store and lake, for `headwater up` and `python -m flows`.

Exactly once visible, as `flows.logs` says. SIGTERM or SIGINT ends the sources; every sink commits, and nothing is
repeated at the next start.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import logging

from bytewax.errors import BytewaxRuntimeError
from bytewax.run import cli_main

from contracts.errors import HeadwaterError
from contracts.messages import Kind
from contracts.settings import Settings
from flows.connections import Connections
from flows.graph import build
from flows.own_logs import configure
from flows.patience import stop_on_signals
from lakehouse.lake_memory import give_back

EPOCH = dt.timedelta(seconds=1)  # sinks have clocks of their own; an epoch only bounds what the engine holds back

_GARBAGE = (50_000, 20, 50)  # rows hold dicts, which the collector would otherwise walk through every 700 of them

log = logging.getLogger("headwater.flows")


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. 0: ended as told; 1: could not go on, and the log says why."""
    configure(settings.log_level)
    give_back()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    stop = stop_on_signals()
    with contextlib.closing(Connections(settings)) as connections:
        flow = build("embedded", list(Kind), connections, stop)
        try:
            cli_main(flow, epoch_interval=EPOCH)  # type: ignore[no-untyped-call]  # compiled, without stubs
        except BytewaxRuntimeError as error:
            cause = error.__cause__
            if not isinstance(cause, HeadwaterError):
                raise
            log.critical("flows end: %s; %s", cause, cause.hint)
            return 1
    return 0
