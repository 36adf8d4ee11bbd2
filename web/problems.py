"""Errors: exceptions -> `application/problem+json` with a stable `code` and what to do.

Every answer of status 4xx or 5xx is made here: our own `Problem`s, the exception tree of `contracts.errors`, the
framework's validation errors, unknown routes, and whatever nobody expected (500, logged, nothing told).
"""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import BusError, BusFull, HeadwaterError, OutcomeUnknown, QueryError, TooLarge
from contracts.own_logs import event

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2

log = logging.getLogger("headwater.web")

_CODES = {400: "invalid_body", 404: "not_found", 405: "method_not_allowed"}
_TELL = {
    400: "the body cannot be read: send JSON as UTF-8",
    404: "there is no such path here: see /docs",
    405: "this path does not take that method: see the header Allow, and /docs",
}


class Problem(Exception):
    """An answer that is not a success.

    Attributes:
        code: Stable machine-readable reason, snake_case.
        detail: One sentence that ends with what to do.
        headers: Further response headers.
        extra: Further members of the answer's body.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> dict[str, Any]:
        title = http.HTTPStatus(self.status).phrase
        about = {"type": "about:blank", "title": title, "status": self.status, "code": self.code}
        return {**about, "detail": self.detail, **self.extra}

    def response(self) -> Response:
        return Response(encode(self.body()), self.status, self.headers, MEDIA_TYPE)


def encode(value: Any) -> bytes:
    """JSON of any plain value: NaN becomes null, a lone surrogate becomes a question mark; never raises for those."""
    try:
        return msgspec.json.encode(value, enc_hook=repr)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(value), enc_hook=repr)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return _encodable(msgspec.structs.asdict(value))
    return value


def problem_of(error: HeadwaterError) -> Problem:
    """What a client is told of one of our exceptions."""
    retry = {"Retry-After": str(max(1, round(error.retry_after_s or RETRY_S)))}
    tell = f"{error}: {error.hint}" if error.hint else str(error)
    if isinstance(error, QueryError):
        return Problem(400, error.code, tell, position=error.position)
    if isinstance(error, OutcomeUnknown):
        return Problem(503, "outcome_unknown", f"{tell}; send the same request again: repeats are seen", headers=retry)
    if isinstance(error, BusFull):
        return Problem(503, "bus_unavailable", f"the bus is full, nothing was stored: {tell}", headers=retry)
    if isinstance(error, TooLarge):
        return Problem(413, "message_too_large", f"{error}: nothing was stored, send smaller records")
    if isinstance(error, BusError):
        return Problem(503, "bus_unavailable", f"nothing was stored: {tell}; send it again later", headers=retry)
    return Problem(503, "unavailable", f"{tell}; try again later", headers=retry)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HeadwaterError, _on_headwater_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


def unexpected() -> Problem:
    """What is told of an error nobody foresaw: nothing but where to look."""
    return Problem(500, "internal_error", "an unexpected error; the log of the service tells more by the request id")


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _on_headwater_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HeadwaterError)
    problem = problem_of(error)
    if problem.status >= 500:
        event(log, logging.WARNING, "request_failed", {"code": problem.code, "reason": str(error)})
    return problem.response()


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in item["loc"][1:]), "in": str(item["loc"][0]), "message": item["msg"]}
        for item in error.errors()
    ]
    first = errors[0]
    tell = f'{first["in"]} "{first["field"]}": {first["message"]}; see /docs for what is allowed'
    return Problem(422, "invalid_request", tell, errors=errors).response()


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    detail = _TELL.get(error.status_code, str(error.detail))
    return Problem(error.status_code, code, detail, headers=error.headers).response()
