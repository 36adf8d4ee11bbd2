"""Alerts: a message for the operator -> a count, a POST to the webhook, an event on the bus, in this order.

The bus comes last, as an outage of the bus may be the reason of the alert. Undelivered alerts stay in the book of
alerts: `post_due` retries the webhook, and `tell_untold` also the bus. The event has the form of an accepted request
with an idempotency key made from the alert, so a repeated append makes no second event. If the process dies between a
POST and its note, the next process posts again. Imports no Dagster.
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

POSTS_AT_ONCE = 20  # most POSTs of one round, so that a webhook that refuses every alert gets pauses

log = logging.getLogger(__name__)

_turn = threading.Lock()  # guards the book: sensors, the watch over failures and the poster are threads of one process
_posting = threading.Lock()  # one thread posts at a time; other threads do not wait for it
_books: dict[Path, Book] = {}


def tell(alert: Alert, upkeep: Upkeep) -> bool:
    """Raise an alert; True: for the first time. After a failure, `post_due` and `tell_untold` retry."""
    settings = upkeep.settings()
    with _turn:
        if not _book(settings).enter(replace(alert, entered_ns=upkeep.now_ns()), settings.alert_queue):
            return False
    post_due(settings, upkeep.now_ns, webhook.ATTEMPTS)
    with _turn:
        _say(_book(settings), upkeep)
    return True


def tell_untold(upkeep: Upkeep) -> int:
    """Deliver the waiting alerts; return the number of delivered ones. Repeated calls make no second event."""
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
    """Post the alerts whose pause is over; return how many the webhook took. Cheap if no alert waits.

    Stops at the first POST without an answer. Does nothing while another thread posts.
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
    """The alert's event as a bus message that arrives at `now_ns`."""
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
    except Exception as error:  # the alerts stay in the book, and the next call retries
        log.warning("%d alerts wait, as the bus does not take their events: %s", len(unsaid), error)
