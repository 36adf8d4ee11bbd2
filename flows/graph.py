"""The graph of one kind: bus topic -> parse -> dead letters -> sinks. Opens nothing; connectors connect when built."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from contracts.messages import Kind
from contracts.settings import Settings
from flows.arrivals import Arrival, Item
from flows.connections import Connections
from flows.parse.batch import Parse
from flows.parse.dead_letters import DeadLetterParser
from flows.parse.events import event_parser
from flows.parse.logs import log_parser
from flows.parse.metrics import metric_parser
from flows.read.pace import Pace
from flows.read.source import BusSource
from flows.write.dead_letters import DeadLetterWriter
from flows.write.erasing import Erasing
from flows.write.stores import StoreSink

Dead = Callable[[Item], Sequence[Item]]


def wire(
    flow: Dataflow,
    kind: Kind,
    source: Source[Arrival | Item],
    parse: Parse,
    dead: Dead,
    sinks: Mapping[str, Sink[Item]],
) -> None:
    """Add the steps of `kind` to `flow`; `sinks` by name. `dead` passes on what the sinks may see."""
    arrived = op.input(f"{kind}_read", flow, source)
    parsed = op.map(f"{kind}_parse", arrived, parse)
    safe = op.flat_map(f"{kind}_dead_letters", parsed, dead)
    for name, sink in sinks.items():
        op.output(f"{kind}_{name}", safe, sink)


def parser(kind: Kind, settings: Settings) -> Parse:
    if kind is Kind.LOGS:
        return log_parser(settings)
    if kind is Kind.METRICS:
        return metric_parser(settings)
    return event_parser(settings) if kind is Kind.EVENTS else DeadLetterParser(settings)


def add(flow: Dataflow, kind: Kind, connections: Connections, stop: threading.Event, pace: Pace) -> None:
    """Add `kind` with its real connectors."""
    dead = DeadLetterWriter(connections, kind, stop)
    parse = parser(kind, connections.settings)
    sinks: dict[str, Sink[Item]] = {"stores": StoreSink(connections, kind, stop, dead, parse)}
    known = Erasing(lambda: connections.known_tombstones, stop, dead)
    wire(flow, kind, BusSource(connections, kind, stop, pace), parser(kind, connections.settings), known, sinks)


def build(name: str, kinds: Sequence[Kind], connections: Connections, stop: threading.Event) -> Dataflow:
    flow = Dataflow(name)
    pace = Pace(stop, connections.settings.flow_poll_ms / 1000)
    for kind in kinds:
        add(flow, kind, connections, stop, pace)
    return flow
