"""`headwater search --follow`: `GET /logs/tail` -> records as they arrive, over every stop of the service, each once.

The id of the last record that was printed goes with each new connection, so that the service goes on behind it.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.errors import StoreError
from headwater.console import err
from headwater.rest import Rest

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0

Show = Callable[[Sequence[Mapping[str, Any]]], None]


class Event(NamedTuple):
    """As the standard has it: "" is the name of a plain event; an id without data is only kept."""

    name: str
    data: str
    id: str


def follow(rest: Rest, params: Mapping[str, str], show: Show) -> None:
    """Print what is there already from `params["start"]` on, then what arrives; ends by Ctrl-C.

    Raises:
        QueryError: The query cannot be read.
        StoreError: The first connection failed, or the service refuses this client for good.
    """
    last_id, failures, connected = "", 0, False
    while True:
        try:
            for event in _events(rest.lines("/logs/tail", params, {"Last-Event-ID": last_id} if last_id else {})):
                connected, failures = True, 0
                if event.name == "" and event.data:
                    show([json.loads(event.data)])
                elif event.name:
                    _tell(event)
                last_id = event.id or last_id
        except StoreError as error:
            if not connected or error.retry_after_s is None:
                raise
            if not failures:
                err.print(f"[dim]{error}; trying again until it answers[/]")
        failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # many that follow must not come back at once


def _tell(event: Event) -> None:
    data = json.loads(event.data) if event.data else {}
    told = {
        "skipped": f"{data.get('records')} records were skipped: they came faster than they were taken here",
        "away": f"what arrives cannot be read now, it follows: {data.get('reason')}",
        "back": "what arrives can be read again",
        "partial": f"what is there already is not complete: {data.get('reason')}",
    }.get(event.name)
    if told:
        err.print(f"[dim]{told}[/]")


def _events(lines: Iterable[str]) -> Iterator[Event]:
    """An event that the end of the connection cut off is none."""
    name, event_id, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data or event_id:
                yield Event(name, "\n".join(data), event_id)
            name, event_id, data = "", "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            event_id = value
