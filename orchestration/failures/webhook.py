"""Webhook: an alert as JSON -> a POST to the URL of the settings, a few times over. Imports no Dagster."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from contracts.errors import ConfigError

ATTEMPTS, PAUSE_S = 3, 1.0

log = logging.getLogger(__name__)


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


def post(url: str, body: Mapping[str, object], timeout_s: float) -> bool:
    """False, and a line in the log, when it could not be had: event and counter tell the same."""
    import httpx

    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = httpx.post(checked_webhook(url), json=dict(body), timeout=timeout_s)
            if answer.is_success:
                return True
            failed = f"status {answer.status_code}"  # not the library's words: they have the URL, which is a secret
        except httpx.HTTPError as error:
            failed = str(error) or type(error).__name__
        except Exception:  # an address that cannot be used: whatever it raises, the event is still to be told
            log.exception("webhook for alerts: nothing can be sent to HEADWATER_ALERT_WEBHOOK_URL")
            return False
        log.warning("webhook for alerts, attempt %d of %d: %s", attempt, ATTEMPTS, failed)
        time.sleep(PAUSE_S if attempt < ATTEMPTS else 0)
    return False
