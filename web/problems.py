"""Errors: exceptions -> `application/problem+json` with a stable `code` and a remedy.

This module makes every answer of status 4xx or 5xx: for our own `Problem`s, the exception tree of `contracts.errors`,
the framework's validation errors, unknown routes, and unexpected exceptions (500; logged, no details in the answer).
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
_DETAILS = {
    400: "the body cannot be read: send JSON as UTF-8",
    404: "the path does not exist: see /docs",
    405: "this path does not support that method: see the header Allow, and /docs",
}


class Problem(Exception):
    """An answer that is not a success.

    Attributes:
        code: Stable machine-readable reason, snake_case.
        detail: One sentence that ends with the remedy.
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
    """JSON of any plain value: NaN becomes null, and a lone surrogate becomes a question mark."""
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
    """The answer to a client for one of our exceptions."""
    retry = {"Retry-After": str(max(1, round(error.retry_after_s or RETRY_S)))}
    detail = f"{error}: {error.hint}" if error.hint else str(error)
    if isinstance(error, QueryError):
        return Problem(400, error.code, detail, position=error.position)
    if isinstance(error, OutcomeUnknown):
        detail += "; send the same request again: repeats are dropped"
        return Problem(503, "outcome_unknown", detail, headers=retry)
    if isinstance(error, BusFull):
        return Problem(503, "bus_unavailable", f"nothing was stored: {detail}", headers=retry)
    if isinstance(error, TooLarge):
        return Problem(413, "message_too_large", f"nothing was stored: {error}; send smaller records")
    if isinstance(error, BusError):
        return Problem(503, "bus_unavailable", f"nothing was stored: {detail}; send it again later", headers=retry)
    return Problem(503, "unavailable", f"{detail}; try again later", headers=retry)


def install(app: FastAPI) -> None:
    """Turn every error of `app` into a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HeadwaterError, _on_headwater_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


def unexpected() -> Problem:
    """The answer for an unexpected exception, without details."""
    return Problem(500, "internal_error", "an unexpected error: search the service's log for the request id")


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
    detail = f'{first["in"]} "{first["field"]}": {first["message"]}; see /docs for the allowed values'
    return Problem(422, "invalid_request", detail, errors=errors).response()


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    detail = _DETAILS.get(error.status_code, str(error.detail))
    return Problem(error.status_code, code, detail, headers=error.headers).response()
