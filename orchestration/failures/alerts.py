"""Alerts: something an operator should know of -> a count, a POST to the webhook, an event on the bus.

In this order, as a bus that is away is among what is told of. What could not be told stays in the book of alerts, and
`tell_untold` goes on with it. The event goes onto the bus as the ingestion service would put it there, under an
idempotency key made of the alert: appended twice, it is one event. A process that dies between a POST and the note of
it posts again. Imports no Dagster.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import Settings
from contracts.tenants import tenant_named
from orchestration.failures.alert_book import Alert, Book
from orchestration.failures.webhook import post

if TYPE_CHECKING:
    from orchestration.resources import Upkeep

log = logging.getLogger(__name__)

_turn = threading.Lock()  # sensors and the watch over failures are threads of one process
_books: dict[Path, Book] = {}


def tell(alert: Alert, upkeep: Upkeep) -> bool:
    """Whether it is raised now for the first time; what fails of it is left to `tell_untold`."""
    settings = upkeep.settings()
    with _turn:
        book = _book(settings)
        if not book.enter(replace(alert, posted=not settings.alert_webhook_url.get_secret_value())):
            return False
        _go_on(book, upkeep)
        return True


def tell_untold(upkeep: Upkeep) -> int:
    """Tell what could not be told before; how many alerts are now done. Any number of calls make one event of each."""
    with _turn:
        book = _book(upkeep.settings())
        book.save()
        return _go_on(book, upkeep)


def message_of(alert: Alert, settings: Settings, now_ns: int) -> tuple[BatchHeader, Message]:
    """Its event as one bus message, which arrives at `now_ns`."""
    record = {
        "name": alert.name,
        "timestamp": alert.at_ns,
        "service": "headwater",
        "body": alert.body,
        "attributes": dict(alert.attributes),
    }
    payload = json.dumps(record).encode()
    header = BatchHeader(
        tenant=tenant_named(settings.foreign_tenant),
        kind=Kind.EVENTS,
        producer=f"key:{alert.name}:{alert.key}",
        count=1,
        span=1,
        received_ns=now_ns,
        size_bytes=len(payload),
    )
    return header, Message(payload, to_headers(header))


def _book(settings: Settings) -> Book:
    return _books.setdefault(settings.data.resolve(), Book(settings.data))


def _go_on(book: Book, upkeep: Upkeep) -> int:
    before = len(book.untold())
    if before:
        _post(book, upkeep.settings())
        _say(book, upkeep)
    return before - len(book.untold())


def _post(book: Book, settings: Settings) -> None:
    """A webhook that is away costs one alert its POST; the others wait for the next call."""
    url = settings.alert_webhook_url.get_secret_value()
    for alert in [each for each in book.untold() if not each.posted]:
        body = {"event": alert.name, **alert.attributes, "at_ns": alert.at_ns}
        had = not url or post(url, body, settings.alert_webhook_timeout_s)
        book.note(replace(alert, posted=True))
        if not had:
            return


def _say(book: Book, upkeep: Upkeep) -> None:
    unsaid = [alert for alert in book.untold() if not alert.said]
    if not unsaid:
        return
    try:
        with upkeep.bus() as queue:
            for alert in unsaid:
                header, message = message_of(alert, upkeep.settings(), upkeep.now_ns())
                queue.append(Kind.EVENTS.topic, header.stream_key, [message])
                book.note(replace(alert, said=True))
    except Exception as error:  # whatever it is: they are kept, and told with the next call
        log.warning("%d alerts could not be put on the bus, and wait: %s", len(unsaid), error)
