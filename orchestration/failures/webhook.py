"""Webhook: an alert as JSON -> one POST to the URL of the settings, and whether a retry helps. Imports no Dagster."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from contracts.errors import ConfigError

ATTEMPTS, PAUSE_S = 3, 1.0
LONGEST_WISH_S = 3600.0  # of a Retry-After
RETRIED = frozenset({408, 425, 429})  # of 4xx

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What came of a POST.

    Attributes:
        taken: The server took the alert.
        refused: The server answers, and does not want this alert: another alert may be taken.
        retry_after_s: How long the server asks to be left alone; 0 is not at all.
    """

    taken: bool
    refused: bool = False
    retry_after_s: float = 0.0


def checked_webhook(url: str) -> str:
    """The same; "" is none.

    Raises:
        ConfigError: It is neither http nor https, or nothing that a request can be sent to.
    """
    import httpx

    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and httpx.URL(url).host
    except (httpx.InvalidURL, ValueError):  # of what either takes, the other may not
        sound = False
    if url and not sound:
        raise ConfigError(
            "HEADWATER_ALERT_WEBHOOK_URL is no http or https URL",
            hint="for example https://hooks.example.org/headwater",
        )
    return url


def post(url: str, body: Mapping[str, object], timeout_s: float, attempts: int = 1) -> WebhookAnswer:
    """Send `body`, up to `attempts` times with a short pause. Raises nothing; the log says why a POST failed."""
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
        # As a stream: the status is enough, and a body without end must not hold the thread.
        with httpx.stream("POST", checked_webhook(url), json=dict(body), timeout=timeout_s) as answer:
            status, wish = answer.status_code, answer.headers.get("retry-after", "")
    except httpx.HTTPError as error:
        return WebhookAnswer(False), str(error) or type(error).__name__
    except Exception as error:  # an address that cannot be used: whatever it raises, the event is still to be told
        log.exception("webhook for alerts: nothing can be sent to HEADWATER_ALERT_WEBHOOK_URL")
        return WebhookAnswer(False), type(error).__name__
    refused = 300 <= status < 500 and status not in RETRIED
    wish_s = min(LONGEST_WISH_S, float(wish)) if wish.isascii() and wish.isdigit() else 0.0
    # Not the library's words: they have the URL, which is a secret.
    return WebhookAnswer(200 <= status < 300, refused, wish_s), f"status {status}"
