"""One kind's flow for `python -m bytewax.run`: settings from the environment, stopped by SIGTERM or SIGINT."""

from __future__ import annotations

import atexit

from bytewax.dataflow import Dataflow

from contracts import own_logs
from contracts.messages import Kind
from contracts.settings import load_settings
from contracts.unused_packages import refuse_pandas
from flows.connections import Connections
from flows.graph import build
from flows.patience import stop_on_signals


def flow_of(kind: Kind) -> Dataflow:
    """Build the flow of `kind`. Installs signal handlers, so call it on the main thread."""
    refuse_pandas()
    settings = load_settings()
    own_logs.configure(settings.log_level)
    connections = Connections(settings)
    atexit.register(connections.close)
    return build(kind.value, [kind], connections, stop_on_signals())
