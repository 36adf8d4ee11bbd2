"""The three routes of ingestion: HTTP request -> `Acceptor` -> HTTP response."""

from __future__ import annotations

import time
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from contracts.messages import Kind
from contracts.settings import MIB, Settings
from contracts.tenants import Principal, Role
from ingestion_api import accept, models
from ingestion_api.breaker import GuardedBus
from ingestion_api.identity import EPOCH, KEY, PRODUCER, SEQUENCE, STREAM, Identity, identity_of
from web.auth import requires
from web.body import Budget, read_body
from web.problems import encode

OVERLOAD_WAIT_S = 2.0
Ingester = Annotated[Principal, Depends(requires(Role.INGEST))]


class Door:
    """Admits `ingest_concurrency` requests at once; others wait `OVERLOAD_WAIT_S`, then get 503 `overloaded`."""

    def __init__(self, acceptor: accept.Acceptor, bus: GuardedBus, settings: Settings) -> None:
        self._acceptor = acceptor
        self._bus = bus
        self._settings = settings
        self._budget = Budget(settings.ingest_buffer_mib * MIB)
        self._slots = anyio.Semaphore(settings.ingest_concurrency)
        self._threads = anyio.CapacityLimiter(settings.ingest_concurrency)

    async def answer(self, http: Request, principal: Principal, kind: Kind) -> Response:
        self._bus.check(kind.topic)
        identity = identity_of(http.headers)
        wire = await read_body(
            http,
            self._budget,
            limit_bytes=self._settings.ingest_wire_mib * MIB,
            timeout_s=self._settings.ingest_body_timeout_s,
        )
        try:
            until_s = time.monotonic() + self._settings.ingest_bus_timeout_s
            request = _request(http, principal, kind, identity, wire, until_s)
            outcome = await self._run(request)
        finally:
            self._budget.give_back(len(wire))
        http.state.log = {"accepted": outcome.accepted, "rejected": len(outcome.rejected), "bytes": len(wire)}
        return Response(encode(outcome), 202, media_type="application/json")

    async def _run(self, request: accept.Request) -> accept.Outcome:
        try:
            with anyio.fail_after(min(OVERLOAD_WAIT_S, self._settings.ingest_bus_timeout_s)):
                await self._slots.acquire()
        except TimeoutError:
            raise accept.overloaded("too many requests are in work") from None
        try:
            self._bus.check(request.kind.topic)  # the breaker may have opened while this request waited
            return await anyio.to_thread.run_sync(self._acceptor.accept, request, limiter=self._threads)
        finally:
            self._slots.release()


def _request(
    http: Request, principal: Principal, kind: Kind, identity: Identity, wire: bytes, until_s: float
) -> accept.Request:
    """The request counts as received once its body is complete, so a slow client cannot move the arrival day back."""
    return accept.Request(
        tenant=principal.tenant,
        kind=kind,
        identity=identity,
        wire=wire,
        encoding=http.headers.get("content-encoding", ""),
        media_type=http.headers.get("content-type", ""),
        received_ns=time.time_ns(),
        until_s=until_s,
    )


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}


_PARAMETERS = [
    _header(PRODUCER, "Stable id of the sender, 1-128 letters, digits and ._:@/+=-; gives exactly-once delivery."),
    _header(EPOCH, "Number that the producer raises by one whenever it lost its state; 0 to 2^62, default 0."),
    _header(STREAM, "The producer's stream, at most 128 printable characters; default empty."),
    _header(SEQUENCE, "Sequence number of the first record, 0 to 2^62; required with a producer."),
    _header(KEY, "Any text of 1-256 printable characters, a new one for each batch: repeats within 24 h are dropped."),
    _header("Content-Encoding", "gzip, deflate, zstd or none."),
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": models.Answer, "description": "Stored durably, except for the rejected records."},
    400: {"description": "All records are invalid, or the body is damaged. Nothing was stored."},
    401: {"description": "The key is missing or unknown."},
    403: {"description": "The key has another role."},
    408: {"description": "The body did not arrive within the deadline."},
    413: {"description": "The body or the number of records is over the limit."},
    415: {"description": "The content encoding is not supported."},
    422: {"description": "The Idempotency-Key was used for another body."},
    429: {"description": "The tenant's rate limit is exceeded: see Retry-After."},
    503: {"description": "`bus_unavailable`, `overloaded`: nothing was stored. `outcome_unknown`: send it again."},
}


def _documented(kind: Kind) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{models.MODELS[kind].__name__}"}
    records = {"type": "array", "items": reference}
    envelope = {"type": "object", "required": ["records"], "properties": {"records": records}}
    as_json = {"schema": {"anyOf": [records, envelope, reference]}}
    packed = {"schema": {"type": "string", "format": "binary", "description": "A stream of [time, record]."}}
    content = {
        "application/json": as_json,
        "application/x-ndjson": {"schema": reference},
        "application/msgpack": packed,
    }
    return {"parameters": _PARAMETERS, "requestBody": {"required": True, "content": content}}


def routes(door: Door) -> APIRouter:
    """`POST /logs`, `/metrics`, `/events`."""
    router = APIRouter(tags=["ingest"])

    def add(kind: Kind) -> None:
        async def post(http: Request, principal: Ingester) -> Response:
            return await door.answer(http, principal, kind)

        router.add_api_route(
            f"/{kind.value}",
            post,
            methods=["POST"],
            status_code=202,
            summary=f"Send {kind.value}",
            responses=_ANSWERS,
            openapi_extra=_documented(kind),
            operation_id=f"send_{kind.value}",
        )

    for kind in (Kind.LOGS, Kind.METRICS, Kind.EVENTS):
        add(kind)
    return router
