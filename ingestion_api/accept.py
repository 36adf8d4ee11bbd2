"""One request: body and identity -> one message, durable on the bus -> the answer. Runs on a worker thread.

Delivery: the service answers after the bus has returned. Not handled here: dropping repeats (the flow does).
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass

import msgspec
import zstandard

from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import MIB, Settings
from contracts.tenants import Tenant
from ingestion_api import fluent
from ingestion_api.acknowledged import Acknowledged
from ingestion_api.breaker import GuardedBus
from ingestion_api.candidates import Limits
from ingestion_api.counters import Counters
from ingestion_api.identity import Identity
from ingestion_api.lines import Lines, split, take_apart
from ingestion_api.rates import Rates
from ingestion_api.verdicts import Judge, Judged, Rejection
from web.body import expand
from web.problems import Problem

_COMPRESS_FROM_BYTES = 512
_THREADS_AT_WORK = 2  # the work holds the interpreter's lock, so more threads would only take turns
_LEAST_SHARE = 0.25  # least share of its time limit that the bus must get: with less, a timeout is not the bus's fault
_ACCEPTING = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as received.

    Attributes:
        received_ns: Unix nanoseconds UTC; its day is the arrival day of every record.
        until_s: Deadline for its batch to be on the bus, monotonic seconds.
    """

    tenant: Tenant
    kind: Kind
    identity: Identity
    wire: bytes
    encoding: str
    media_type: str
    received_ns: int
    until_s: float


class Outcome(msgspec.Struct, frozen=True):
    """The answer's body: every record of the request is either accepted or rejected."""

    accepted: int
    rejected: list[Rejection]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    judged: Judged
    message: Message
    key: str
    digest: bytes


class Acceptor:
    """Thread-safe. Holds the acknowledged batches and the rates of this process."""

    def __init__(self, bus: GuardedBus, settings: Settings, counters: Counters) -> None:
        self._bus = bus
        self._settings = settings
        self._counters = counters
        self._judges = {kind: Judge(kind, settings) for kind in _ACCEPTING}
        self._limits = Limits(settings.ingest_batch_records, settings.ingest_body_mib * MIB)
        self._rates = Rates(settings)
        self._acknowledged = Acknowledged(settings.idempotency_h * 3600)
        self._turn = threading.Semaphore(_THREADS_AT_WORK)
        self._local = threading.local()

    def accept(self, request: Request) -> Outcome:
        """Validate, store, answer. Blocks until durable.

        Raises:
            Problem: 400, 413, 415, 422, 429, 503: nothing was stored.
            BusError: See `contracts.bus.Bus.append`.
        """
        with self._turn:
            batch = self._prepare(request)
        if isinstance(batch, Outcome):
            return batch
        judged = batch.judged
        self._append(request, batch)
        self._counters.records(request.kind, request.tenant, "accepted", judged.accepted)
        self._counters.rewritten(request.kind, judged.rewritten)
        return Outcome(judged.accepted, judged.rejected)

    def _judged(self, request: Request, body: bytes) -> tuple[Lines, Judged]:
        """Lines that are no good as they are may hold several records each: they are taken apart and judged alone."""
        judge, limits = self._judges[request.kind], self._limits
        if request.media_type.partition(";")[0].strip().lower() in fluent.MEDIA_TYPES:
            found = fluent.unpack(body, limits, self._settings.ingest_record_kib * 1024)
            return Lines(found.items, as_sent=False), judge.one_by_one(found.items, found.faults)
        lines = split(body, request.media_type, limits.records)
        if judge.all_good(lines.items):
            return lines, Judged(lines.items, len(lines.items))
        found = take_apart(lines, request.kind, limits)
        as_sent = lines.as_sent and found.items == lines.items
        return Lines(found.items, as_sent), judge.one_by_one(found.items, found.faults)

    def _prepare(self, request: Request) -> _Batch | Outcome:
        body = expand(request.wire, request.encoding, self._limits.size_bytes)
        self._counters.size(request.kind, len(request.wire), len(body.data))
        lines, judged = self._judged(request, body.data)
        digest = hashlib.blake2b(body.data, digest_size=16).digest() if request.identity.keyed else b""
        self._count_rejects(request, judged)
        if not judged.accepted:
            raise _nothing_usable(judged)
        if self._is_repeat(request, len(lines.items), digest):
            self._counters.records(request.kind, request.tenant, "duplicate", judged.accepted)
            return Outcome(judged.accepted, judged.rejected, duplicate=True)
        self._rates.take(request.tenant, judged.accepted, len(body.data))
        plain = body.data if lines.as_sent and not judged.changed else _joined(lines, judged)
        ready = request.wire if body.one_frame and plain is body.data else None
        return self._batch(request, judged, plain, ready, digest)

    def _batch(self, request: Request, judged: Judged, plain: bytes, ready: bytes | None, digest: bytes) -> _Batch:
        """`ready`: `plain` as the client compressed it."""
        payload, encoding = plain, "identity"
        if ready is not None or len(plain) >= _COMPRESS_FROM_BYTES:
            payload, encoding = ready or self._compressor().compress(plain), "zstd"
        who = request.identity
        header = BatchHeader(
            tenant=request.tenant,
            kind=request.kind,
            producer=who.producer,
            epoch=who.epoch,
            stream=who.stream,
            sequence=who.sequence,
            count=judged.accepted,
            span=len(judged.lines),
            received_ns=request.received_ns,
            encoding=encoding,
            size_bytes=len(plain),
        )
        return _Batch(judged, Message(payload, to_headers(header)), header.stream_key, digest)

    def _append(self, request: Request, batch: _Batch) -> None:
        left_s = request.until_s - time.monotonic()
        if left_s < self._settings.ingest_bus_timeout_s * _LEAST_SHARE:
            raise overloaded("the service is busy")
        began = time.perf_counter()
        self._bus.append(request.kind.topic, batch.key, [batch.message], left_s)
        self._counters.append_seconds.observe(time.perf_counter() - began)
        who = request.identity
        if who.numbered:
            self._acknowledged.add_range(request.tenant, request.kind, who, len(batch.judged.lines))
        elif who.keyed:
            self._acknowledged.add_key(request.tenant, request.kind, who.producer, batch.digest)

    def _is_repeat(self, request: Request, span: int, digest: bytes) -> bool:
        who = request.identity
        if who.numbered:
            return self._acknowledged.has_range(request.tenant, request.kind, who, span)
        known = self._acknowledged.body_of_key(request.tenant, request.kind, who.producer) if who.keyed else None
        if known is not None and known != digest:
            detail = "nothing was stored: this Idempotency-Key was used for another body; use a new key for each batch"
            raise Problem(422, "idempotency_conflict", detail)
        return known is not None

    def _count_rejects(self, request: Request, judged: Judged) -> None:
        self._counters.records(request.kind, request.tenant, "rejected", len(judged.rejected))
        for rejection in judged.rejected:
            self._counters.rejects(rejection.code)

    def _compressor(self) -> zstandard.ZstdCompressor:
        """The compressor of this thread, as threads cannot share one."""
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=1)
        compressor: zstandard.ZstdCompressor = self._local.compressor
        return compressor


def overloaded(reason: str) -> Problem:
    """The answer to a request that got no slot or no time for its append."""
    detail = f"nothing was stored: {reason}; send the request again later"
    return Problem(503, "overloaded", detail, headers={"Retry-After": "2"})


def _joined(lines: Lines, judged: Judged) -> bytes:
    if lines.as_sent:
        return b"\n".join(judged.lines)
    # In a valid record a line end is always between two tokens, so a space may replace it.
    return b"\n".join(line.replace(b"\n", b" ").replace(b"\r", b" ") for line in judged.lines)


def _nothing_usable(judged: Judged) -> Problem:
    if not judged.rejected:
        return Problem(400, "no_records", "the body has no record: send at least one")
    first = judged.rejected[0]
    rest = f" (and {len(judged.rejected) - 1} more)" if len(judged.rejected) > 1 else ""
    detail = f"nothing was stored, as all records are invalid: {first.message}{rest}"
    return Problem(400, "no_usable_record", detail, accepted=0, rejected=judged.rejected, duplicate=False)
