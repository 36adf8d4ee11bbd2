"""Webhook: an alert as JSON -> a POST to the URL in the settings, and its result. Imports no Dagster."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from contracts.errors import ConfigError

ATTEMPTS, PAUSE_S = 3, 1.0
LONGEST_WISH_S = 3600.0  # longest Retry-After that is obeyed
RETRIED = frozenset({408, 425, 429})  # 4xx statuses that do not count as a refusal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """Result of a POST.

    Attributes:
        taken: The server took the alert.
        refused: The server refused this alert; it may take other alerts.
        retry_after_s: Pause that the server asks for; 0 is none.
    """

    taken: bool
    refused: bool = False
    retry_after_s: float = 0.0


def checked_webhook(url: str) -> str:
    """`url` unchanged, if valid; "" means no webhook.

    Raises:
        ConfigError: The URL is neither http nor https, or no request can be sent to it.
    """
    import httpx

    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and httpx.URL(url).host
    except (httpx.InvalidURL, ValueError):  # one of the two parsers refuses the URL
        sound = False
    if url and not sound:
        raise ConfigError(
            "HEADWATER_ALERT_WEBHOOK_URL is no http or https URL",
            hint="set it to a URL like https://hooks.example.org/headwater",
        )
    return url


def post(url: str, body: Mapping[str, object], timeout_s: float, attempts: int = 1) -> WebhookAnswer:
    """Send `body`, up to `attempts` times with a short pause. Never raises; the log has the reason of a failure."""
    answer = WebhookAnswer(False)
    for attempt in range(1, attempts + 1):
        answer, failed = _posted(url, body, timeout_s)
        if answer.taken:
            break
        log.warning("webhook for alerts, attempt %d of %d: %s", attempt, attempts, failed)
        time.sleep(PAUSE_S if attempt < attempts else 0)
    return answer


def _posted(url: str, body: Mapping[str, object], timeout_s: float) -> tuple[WebhookAnswer, str]:
    import httpx

    try:
        # A stream, as only the status is needed and an endless body must not block the thread.
        with httpx.stream("POST", checked_webhook(url), json=dict(body), timeout=timeout_s) as answer:
            status, wish = answer.status_code, answer.headers.get("retry-after", "")
    except httpx.HTTPError as error:
        return WebhookAnswer(False), str(error) or type(error).__name__
    except Exception as error:  # an unusable URL may raise anything, and must not block the event on the bus
        log.exception("webhook for alerts: no request can be sent to HEADWATER_ALERT_WEBHOOK_URL")
        return WebhookAnswer(False), type(error).__name__
    refused = 300 <= status < 500 and status not in RETRIED
    wish_s = min(LONGEST_WISH_S, float(wish)) if wish.isascii() and wish.isdigit() else 0.0
    # Not the text of the library, which contains the URL, a secret.
    return WebhookAnswer(200 <= status < 300, refused, wish_s), f"status {status}"
