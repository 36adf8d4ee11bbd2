"""Alerts: something an operator should know of -> a count, a POST to the webhook, an event on the bus.

In this order, as a bus that is away is among what is told of. Alerts that are not told yet stay in the book of alerts:
`post_due` retries the webhook and `tell_untold` the bus too. The event goes onto the bus as the ingestion service would
put it there, under an idempotency key made of the alert: appended twice, it is one event. A process that dies between a
POST and the note of it posts again. Imports no Dagster.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import Settings
from contracts.tenants import tenant_named
from orchestration.failures import webhook
from orchestration.failures.alert_book import Alert, Book
from orchestration.failures.posting import next_to_post, note_answer
from orchestration.failures.webhook import post

if TYPE_CHECKING:
    from orchestration.resources import Upkeep

POSTS_AT_ONCE = 20  # of one round: a webhook that refuses each alert is not asked without a pause

log = logging.getLogger(__name__)

_turn = threading.Lock()  # of the book: sensors, the watch over failures and the poster are threads of one process
_posting = threading.Lock()  # one thread posts at a time, and no other thread waits for the webhook
_books: dict[Path, Book] = {}


def tell(alert: Alert, upkeep: Upkeep) -> bool:
    """True if the alert is raised for the first time. What fails is left to `post_due` and `tell_untold`."""
    settings = upkeep.settings()
    with _turn:
        if not _book(settings).enter(replace(alert, entered_ns=upkeep.now_ns()), settings.alert_queue):
            return False
    post_due(settings, upkeep.now_ns, webhook.ATTEMPTS)
    with _turn:
        _say(_book(settings), upkeep)
    return True


def tell_untold(upkeep: Upkeep) -> int:
    """Tell what could not be told before; how many alerts are now done. Any number of calls make one event of each."""
    settings = upkeep.settings()
    with _turn:
        book = _book(settings)
        book.save()
        before = len(book.untold())
    post_due(settings, upkeep.now_ns)
    with _turn:
        _say(book, upkeep)
        return before - len(book.untold())


def post_due(settings: Settings, now_ns: Callable[[], int] = time.time_ns, attempts: int = 1) -> int:
    """Post the alerts whose pause is over; how many the webhook took. Costs nothing when there is none.

    Ends at the first one that the webhook does not answer. Does nothing while another thread posts.
    """
    taken = 0
    if not _posting.acquire(blocking=False):
        return taken
    try:
        for _ in range(POSTS_AT_ONCE):
            with _turn:
                alert = next_to_post(_book(settings), settings, now_ns())
            if alert is None:
                break
            body = {"event": alert.name, **alert.attributes, "at_ns": alert.at_ns}
            url, timeout_s = settings.alert_webhook_url.get_secret_value(), settings.alert_webhook_timeout_s
            answer = post(url, body, timeout_s, attempts)
            with _turn:
                note_answer(_book(settings), alert, answer, settings, now_ns())
            taken += answer.taken
            if not answer.taken and not answer.refused:
                break
    finally:
        _posting.release()
    return taken


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
