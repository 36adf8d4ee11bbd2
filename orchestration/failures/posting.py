"""Posting: the book of alerts and an answer of the webhook -> the next alert to post, and its time. Imports no Dagster.

Two pauses double with each failure: the webhook's pause if the server does not answer, and an alert's pause if the
server refuses the alert. The book keeps both, so they survive a restart. An alert that waits for longer than
`HEADWATER_ALERT_WEBHOOK_RETRY_H` is given up and counted.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from contracts.settings import Settings
from orchestration.failures.alert_book import TOO_OLD, WEBHOOK, Alert, Book
from orchestration.failures.webhook import LONGEST_WISH_S, WebhookAnswer

FIRST_PAUSE_S = 2.0
DOUBLINGS = 20  # limit of the exponent; the setting for the longest pause applies before

_S = 10**9

log = logging.getLogger(__name__)


def next_to_post(book: Book, settings: Settings, now_ns: int) -> Alert | None:
    """The due alert with the fewest attempts; None if no alert is due."""
    waiting = [alert for alert in book.untold() if not alert.posted]
    if not waiting:
        return None
    if not settings.alert_webhook_url.get_secret_value():
        for alert in waiting:
            book.note(replace(alert, posted=True))
        return None
    waiting = [alert for alert in waiting if not _given_up(book, alert, settings, now_ns)]
    if not _is_due(book.pause_ends_ns, now_ns, settings):
        return None
    due = [alert for alert in waiting if _is_due(alert.next_post_ns, now_ns, settings)]
    return min(due, key=lambda alert: (alert.attempts, alert.entered_ns), default=None)


def note_answer(book: Book, alert: Alert, answer: WebhookAnswer, settings: Settings, now_ns: int) -> None:
    """Note the result of posting `alert`."""
    # Meanwhile the bus may have taken the event, or a full queue may have dropped the alert.
    alert = next((each for each in book.untold() if (each.name, each.key) == (alert.name, alert.key)), alert)
    if answer.taken:
        book.pause(0, 0)
        book.note(replace(alert, posted=True))
        return
    tried = replace(alert, attempts=alert.attempts + 1, entered_ns=alert.entered_ns or now_ns)
    if answer.refused:
        pause_s = _pause_s(tried.attempts, answer, settings)
        book.pause(0, 0)
        book.note(replace(tried, next_post_ns=now_ns + int(pause_s * _S)))
    else:
        pause_s = _pause_s(book.failures + 1, answer, settings)
        book.pause(book.failures + 1, now_ns + int(pause_s * _S))
        book.note(tried)
    log.warning("webhook for alerts: %s of %s waits, the next attempt is in %.0f s", alert.name, alert.key, pause_s)


def _given_up(book: Book, alert: Alert, settings: Settings, now_ns: int) -> bool:
    if now_ns - (alert.entered_ns or now_ns) <= settings.alert_webhook_retry_h * 3600 * _S:
        return False
    log.error(
        "webhook for alerts: %s of %s is given up after %g h and %d attempts; see HEADWATER_ALERT_WEBHOOK_URL",
        alert.name,
        alert.key,
        settings.alert_webhook_retry_h,
        alert.attempts,
    )
    book.give_up(WEBHOOK, TOO_OLD)
    book.note(replace(alert, posted=True))
    return True


def _is_due(at_ns: int, now_ns: int, settings: Settings) -> bool:
    """True if `at_ns` is reached, or is so far ahead that the clock must have been set back."""
    longest_s = max(settings.alert_webhook_retry_max_s, LONGEST_WISH_S)
    return not now_ns < at_ns <= now_ns + int(longest_s * _S)


def _pause_s(failures: int, answer: WebhookAnswer, settings: Settings) -> float:
    doubled_s = FIRST_PAUSE_S * 2.0 ** min(failures - 1, DOUBLINGS)
    return max(answer.retry_after_s, min(settings.alert_webhook_retry_max_s, doubled_s))
