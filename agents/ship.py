"""Ship: batches of the buffer -> HTTP, one in flight, until each record is acknowledged or set aside.

Delivery: at least once, always with the same sequence numbers, so that the platform can drop repeats. The shipper
retries after network errors, 408, 425, 429 and 5xx. If the key or URL is refused, it keeps the records and logs the
refusal. After any other 4xx it halves the batch until the refused record is alone, and sets it aside in a file.
"""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import zstandard

from agents.answers import Fate, Outcome, judge, pause_s
from agents.aside import SetAside, Verdict
from agents.buffer import Buffer
from agents.counters import Counters
from agents.journal import Journal
from agents.outbox import Batch


@dataclass(frozen=True, slots=True)
class Target:
    """Target and options of requests. `kind` is the path: "logs" or "metrics"; `stream` names the producer's stream."""

    url: str
    key: str
    kind: str
    stream: str
    compression: str  # "zstd", "gzip", "none"
    timeout_s: float
    retry_max_s: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Most records and bytes of a request; `wait_s`: longest wait of a part-filled batch."""

    records: int
    bytes: int
    wait_s: float


class Shipper(threading.Thread):
    """Sends in the background until `stop`. `denied` is the reason why the service refuses this agent, or ""."""

    def __init__(
        self, buffer: Buffer, target: Target, sizes: Sizes, aside: SetAside, counters: Counters, journal: Journal
    ) -> None:
        super().__init__(name="ship", daemon=True)
        self.denied = ""
        self._filling_since_s: float | None = None
        self._buffer = buffer
        self._target = target
        self._sizes = sizes
        self._aside = aside
        self._counters = counters
        self._journal = journal
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._rng = random.Random()
        self._encode, self._encoding = _encoder(target.compression)
        self._client = _client(target)

    def hurry(self) -> None:
        """Send part-filled batches at once from now on."""
        self._hurry.set()
        self._buffer.changed.set()

    def stop(self, timeout_s: float) -> None:
        """Stop; the request in flight has `timeout_s` to end. Unacknowledged records stay in the buffer."""
        self._stopping.set()
        self._buffer.changed.set()
        self.join(timeout_s)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                batch = self._next()
                if batch:
                    self._deliver(batch)
            except Exception as error:  # after any error the records are safe in the buffer, and shipping must continue
                self._fail("delivery failed, the agent will retry", error=f"{type(error).__name__}: {error}")
                self._stopping.wait(1.0)
        self._client.close()

    def _next(self) -> Batch | None:
        """A full batch, or a part-filled batch after the wait."""
        self._buffer.changed.clear()
        batch = self._buffer.take(self._sizes.records, self._sizes.bytes)
        if batch is None:
            self._filling_since_s = None
            self._buffer.changed.wait(1.0)
            return None
        full = self._buffer.unsent > batch.count or batch.count >= self._sizes.records
        if self._filling_since_s is None:
            self._filling_since_s = time.monotonic()
        left_s = self._filling_since_s + self._sizes.wait_s - time.monotonic()
        if full or left_s <= 0 or self._hurry.is_set():
            return batch
        self._buffer.changed.wait(left_s)
        return None

    def _deliver(self, batch: Batch) -> None:
        """Send `batch`, in halves if it is refused, and acknowledge the parts in order."""
        waiting = [batch]
        while waiting and not self._stopping.is_set():
            part = waiting.pop()
            outcome = self._send(part)
            if outcome is None:
                return
            if outcome.fate is Fate.REFUSED and part.count > 1:
                middle = part.count // 2
                waiting += [part.slice(middle, part.count), part.slice(0, middle)]
                continue
            self._settle(part, outcome)
        self._filling_since_s = None

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        verdicts = outcome.verdicts
        if outcome.fate is Fate.REFUSED:
            verdicts = [Verdict(0, outcome.code, outcome.reason)]
        kept = self._aside.store(self._target.kind, batch, outcome.status, verdicts) if verdicts else 0
        self._buffer.acknowledge(batch.end)
        self._counters.add(
            sent_records=batch.count - kept, rejected=kept, set_aside=kept, duplicates=int(outcome.duplicate)
        )
        if kept:
            first = verdicts[0]
            self._fail("records were refused and set aside", records=kept, code=first.code, reason=first.reason)

    def _send(self, batch: Batch) -> Outcome | None:
        """Send until the service accepts or refuses the batch; None if a stop came first."""
        body = self._encode(batch.payload)
        attempt = 0
        while not self._stopping.is_set():
            outcome = self._request(batch, body)
            if outcome.fate in (Fate.TAKEN, Fate.REFUSED):
                self.denied = ""
                return outcome
            pause = pause_s(attempt, self._target.retry_max_s, outcome.retry_after_s, self._rng)
            if outcome.fate is Fate.DENIED:
                self.denied = outcome.reason
                pause = self._target.retry_max_s
            self._counters.add(retried=1)
            self._fail(_advice(outcome), status=outcome.status, reason=outcome.reason, pause_s=round(pause, 2))
            self._stopping.wait(pause)
            attempt += 1
        return None

    def _request(self, batch: Batch, body: bytes) -> Outcome:
        headers = {
            **self._encoding,
            "X-Headwater-Epoch": str(batch.epoch),
            "X-Headwater-Sequence": str(batch.sequence),
            "X-Headwater-Producer": self._buffer.producer,
        }
        self._counters.add(requests=1)
        try:
            response = self._client.post(self._target.url, content=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            return Outcome(Fate.AGAIN, 0, "unreachable", f"{type(error).__name__}: {error}")
        self._counters.add(sent_bytes=len(body) if response.is_success else 0)
        return judge(response.status_code, response.content, response.headers.get("Retry-After"), batch.count)

    def _fail(self, message: str, **fields: object) -> None:
        self._counters.failed(f"{message}: {fields.get('reason', fields.get('error', ''))}")
        self._journal.once("warning", str(fields.get("reason", "")), message, url=self._target.url, **fields)


def _advice(outcome: Outcome) -> str:
    if outcome.status in (401, 403):
        return "the key was refused, records are kept; check HEADWATER_API_KEY"
    if outcome.fate is Fate.DENIED:
        return "the URL accepts no records, they are kept; check HEADWATER_INGEST_URL"
    return "not delivered, the agent will retry"


def _client(target: Target) -> httpx.Client:
    headers = {
        "Authorization": f"Bearer {target.key}",
        "Content-Type": "application/x-ndjson",
        "X-Headwater-Stream": target.stream,
    }
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60.0)
    return httpx.Client(headers=headers, timeout=target.timeout_s, limits=limits)


def _encoder(compression: str) -> tuple[Callable[[bytes], bytes], dict[str, str]]:
    if compression == "zstd":
        compressor = zstandard.ZstdCompressor(level=1)
        return compressor.compress, {"Content-Encoding": "zstd"}
    if compression == "gzip":
        return lambda data: gzip.compress(data, compresslevel=1, mtime=0), {"Content-Encoding": "gzip"}
    return lambda data: data, {}
