"""All kinds in one graph and one process: bus -> hot store and lake, for `headwater up` and `python -m flows`.

Exactly once visible, see `flows.logs`. SIGTERM or SIGINT ends the sources and every sink commits, so the next start
repeats nothing.

Parallelism: `HEADWATER_FLOW_WORKERS` threads that share the bus partitions of each kind; or several such processes that
know each other's addresses. Start and stop these processes together: if one dies, the others exit with 1. The number
of workers may change at the next start. The embedded hot store allows one worker.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import logging
from collections.abc import Sequence

from bytewax.errors import BytewaxRuntimeError
from bytewax.run import cli_main

from contracts import own_logs
from contracts.errors import HeadwaterError
from contracts.messages import Kind
from contracts.settings import Settings
from contracts.unused_packages import refuse_pandas
from flows.connections import Connections
from flows.graph import build
from flows.patience import stop_on_signals
from lakehouse import check_workers
from lakehouse.memory import give_back

EPOCH = dt.timedelta(seconds=1)  # only bounds how long the engine holds items back; sinks commit by their own clocks

_GARBAGE = (50_000, 20, 50)  # rows hold dicts; with the default threshold the collector would run every 700 of them

log = logging.getLogger("headwater.flows")


def run(settings: Settings, process: int | None = None, addresses: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 after a signal, 1 after an error, which is logged.

    `process`: index of this process in `addresses`; `addresses`: host:port of all processes of a cluster.
    """
    own_logs.configure(settings.log_level)
    refuse_pandas()
    give_back()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    stop = stop_on_signals()
    with contextlib.closing(Connections(settings)) as connections:
        try:
            check_workers(settings.hot, settings.flow_workers * len(addresses or "1"))
            cli_main(  # type: ignore[no-untyped-call]  # compiled, without stubs
                build("embedded", list(Kind), connections, stop),
                workers_per_process=settings.flow_workers,
                process_id=process,
                addresses=addresses,
                epoch_interval=EPOCH,
            )
        except (BytewaxRuntimeError, HeadwaterError) as error:
            cause = root_of(error)
            if cause is None:
                raise
            log.critical("flows end: %s; %s", cause, cause.hint)
            return 1
        except BaseException as error:
            if not _is_of_the_cluster(error):
                raise
            log.critical("flows end: another process of %s has ended: start all of them again", addresses)
            return 1
    return 0


def root_of(error: BaseException | None) -> HeadwaterError | None:
    """The HeadwaterError that the engine wrapped, at any depth; None if there is none."""
    while error is not None and not isinstance(error, HeadwaterError):
        error = error.__cause__
    return error


def _is_of_the_cluster(error: BaseException) -> bool:
    """The engine's threads panic when a connection to another process breaks."""
    return type(error).__name__ == "PanicException" and "thread panic" in str(error)
