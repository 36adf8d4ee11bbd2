"""Agent: the parts that every agent has -> one context: folder, buffer, shipper, counters, and its own log."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from agents.aside import SetAside
from agents.buffer import Buffer, BufferFull
from agents.counters import Counters
from agents.home import Home, checked_name
from agents.journal import Journal
from agents.lines import Part
from agents.positions import Position
from agents.ship import Shipper, Sizes, Target
from contracts.errors import ConfigError
from contracts.settings import MIB, Settings

LAST_SEND_S = 2.0
FULL_PAUSE_S = 0.25
STATUS_S = 1.0


class Agent:
    """The common parts of both agents: folder, buffer, shipper, counters. Use it as a context manager."""

    def __init__(self, settings: Settings, name: str, kind: str, stop: threading.Event | None = None) -> None:
        self.settings = settings
        self.stopping = stop or threading.Event()
        checked_name(name)
        target = _target(settings, kind, name)
        self.journal = Journal(name, settings.log_level)
        self.home = Home(settings.agent_home / name)
        self.counters = Counters(self.home.folder, name, os.getpid())
        self.buffer = Buffer(self.home, settings.agent_buffer_mib * MIB, settings.agent_segment_mib * MIB, self.journal)
        sizes = Sizes(settings.agent_batch_records, settings.agent_batch_kib << 10, settings.agent_batch_wait_s)
        self.shipper = Shipper(self.buffer, target, sizes, SetAside(self.home.folder), self.counters, self.journal)
        self.extra: Callable[[], dict[str, int]] = dict
        self._saved_s = 0.0

    def __enter__(self) -> Agent:
        self.journal.info("agent started", folder=self.home.folder, producer=self.buffer.producer)
        self.shipper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shipper.stop(LAST_SEND_S)
        self.buffer.close()
        self.save_status("stopped")
        self.journal.info("agent stopped", unsent=self.buffer.unsent)
        self.home.close()

    def store(self, parts: list[Part], positions: dict[str, Position | None]) -> bool:
        """Append to the buffer, and wait while it is full; False if a stop came first."""
        while True:
            self.buffer.freed.clear()
            try:
                self.buffer.append(parts, positions)
                return True
            except BufferFull as full:
                self.counters.failed(str(full))
                self.journal.once("warning", "buffer", "reading stopped until the buffer has room", reason=full)
            if self.stopping.is_set():
                return False
            self.save_status("running", STATUS_S / 4)
            self.buffer.freed.wait(FULL_PAUSE_S)

    def drained(self) -> bool:
        return self.buffer.unsent == 0

    def save_status(self, state: str = "running", every_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._saved_s < every_s:
            return
        self._saved_s = now
        epoch, sequence = self.buffer.next
        self.counters.save(
            state=state,
            producer=self.buffer.producer,
            epoch=epoch,
            next_sequence=sequence,
            acked_sequence=self.buffer.acked[1],
            buffered_records=self.buffer.unsent,
            buffer_bytes=self.buffer.size_bytes(),
            lag_s=self.buffer.lag_s(),
            **self.extra(),
        )


def _target(settings: Settings, kind: str, stream: str) -> Target:
    url = settings.ingest_url.rstrip("/")
    if not url:
        raise ConfigError(
            "HEADWATER_INGEST_URL is not set", hint="set it to the ingestion service, for example http://127.0.0.1:8080"
        )
    if not _is_http(url):
        raise ConfigError(f'HEADWATER_INGEST_URL "{url}" is not an http or https URL')
    key = settings.api_key.get_secret_value()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(
            "HEADWATER_API_KEY is empty or not printable ASCII", hint="set it to a key with the role ingest"
        )
    return Target(
        url=f"{url}/{kind}",
        key=key,
        kind=kind,
        stream=stream,
        compression=settings.agent_compression,
        timeout_s=settings.agent_timeout_s,
        retry_max_s=settings.agent_retry_max_s,
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
