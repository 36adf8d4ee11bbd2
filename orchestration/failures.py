"""Failures: a run that failed for good -> an event `pipeline.failure`, a counter, and a webhook.

The event goes onto the bus as the ingestion service would put it there, under an idempotency key made of the run: told
twice it is one event. The counts are a file of the data folder that the API's /metrics shows. Imports no Dagster.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contracts.bus import Bus
from contracts.errors import ConfigError
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import Settings
from contracts.tenants import tenant_named

EVENT = "pipeline.failure"
REMEMBERED = 1000  # runs that were told already
ATTEMPTS, PAUSE_S = 3, 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """One run that failed and is not tried again.

    Attributes:
        partition: Arrival day it was about; "" for none.
        url: Its page in the UI.
        at_ns: When it ended, Unix nanoseconds UTC.
    """

    run_id: str
    job: str
    partition: str
    step: str
    reason: str
    url: str
    at_ns: int


def tell(failure: Failure, settings: Settings, queue: Bus, now_ns: int) -> bool:
    """Event, counter, webhook, in this order; whether it is told now for the first time.

    Raises:
        BusError: It could not be told; the same call may be repeated.
    """
    header, message = message_of(failure, settings, now_ns)
    queue.append(Kind.EVENTS.topic, header.stream_key, [message])
    if not _count(failure, settings.data):
        return False
    if url := settings.alert_webhook_url.get_secret_value():
        _post(url, failure, settings.alert_webhook_timeout_s)
    return True


def message_of(failure: Failure, settings: Settings, now_ns: int) -> tuple[BatchHeader, Message]:
    """The event as one bus message, which arrives at `now_ns`."""
    about = f" of {failure.partition}" if failure.partition else ""
    record = {
        "name": EVENT,
        "timestamp": failure.at_ns,
        "service": "headwater",
        "body": f"{failure.job}{about} failed: {failure.reason}",
        "attributes": {name: value for name, value in asdict(failure).items() if name != "at_ns"},
    }
    payload = json.dumps(record).encode()
    header = BatchHeader(
        tenant=tenant_named(settings.foreign_tenant),
        kind=Kind.EVENTS,
        producer=f"key:{EVENT}:{failure.run_id}",
        count=1,
        span=1,
        received_ns=now_ns,
        size_bytes=len(payload),
    )
    return header, Message(payload, to_headers(header))


def failure_counts(data: Path) -> Mapping[str, int]:
    """Runs that failed for good since the data folder exists, by job."""
    counts: Mapping[str, int] = _read(data).get("failed", {})
    return counts


def checked_webhook(url: str) -> str:
    """The same.

    Raises:
        ConfigError: It is neither http nor https, or names no host.
    """
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ConfigError(
            "HEADWATER_ALERT_WEBHOOK_URL is no http or https URL",
            hint="for example https://hooks.example.org/headwater",
        )
    return url


def _count(failure: Failure, data: Path) -> bool:
    """Only by the process that holds the data folder; False when this run was counted before."""
    kept = _read(data)
    told: list[str] = kept.get("told", [])
    if failure.run_id in told:
        return False
    failed: dict[str, int] = kept.get("failed", {})
    failed[failure.job] = failed.get(failure.job, 0) + 1
    path = _file(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".new")
    with half.open("w") as file:
        json.dump({"failed": failed, "told": [*told, failure.run_id][-REMEMBERED:]}, file)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    return True


def _file(data: Path) -> Path:
    return data / "dagster" / "failures.json"


def _read(data: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(_file(data).read_text())
    except (OSError, ValueError):
        return {}
    return kept


def _post(url: str, failure: Failure, timeout_s: float) -> None:
    """Log and go on when it cannot be had: the event and the counter tell the same."""
    import httpx

    for attempt in range(1, ATTEMPTS + 1):
        try:
            httpx.post(
                checked_webhook(url), json={"event": EVENT, **asdict(failure)}, timeout=timeout_s
            ).raise_for_status()
            return
        except httpx.HTTPError as error:
            log.warning("webhook for failed runs, attempt %d of %d: %s", attempt, ATTEMPTS, error)
            time.sleep(PAUSE_S if attempt < ATTEMPTS else 0)
