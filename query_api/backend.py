"""Shared by all routes: the stores, the settings, a clock; answers -> JSON, failures -> problems."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from contracts.answers import TierUse
from contracts.errors import QueryError, StoreError
from contracts.settings import Settings
from contracts.tenants import Principal, Role
from query_api.account import Ledgers
from query_api.lags import StoreLags
from web.auth import requires
from web.problems import Problem, encode

if TYPE_CHECKING:
    from lakehouse.read.search import Search

RETRY_S = 2
_SNIPPET_CHARS = 30


@dataclass(frozen=True, slots=True)
class Backend:
    """`clock` gives Unix nanoseconds UTC: what `now` means in a request."""

    search: Search
    ledgers: Ledgers
    settings: Settings
    lags: StoreLags
    clock: Callable[[], int] = time.time_ns


def backend_of(request: Request) -> Backend:
    backend: Backend = request.app.state.query
    return backend


def only_known_parameters(request: Request) -> None:
    """Refuse a misspelt parameter: ignoring a filter would answer more than was asked."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            raise Problem(
                400,
                "unknown_parameter",
                f'"{name[:80]}" is not a parameter of this path: use {", ".join(sorted(known)) or "none"}',
            )


Reader = Annotated[Principal, Depends(requires(Role.READ))]
Stores = Annotated[Backend, Depends(backend_of)]
KNOWN_ONLY = [Depends(only_known_parameters)]

# For the API page; every one is `application/problem+json`.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The query or a parameter cannot be used; the answer says which, where and what to do."},
    401: {"description": "The key is missing or unknown."},
    403: {"description": "The key may not read."},
    503: {"description": "A store cannot answer now; see Retry-After."},
    504: {"description": "The query took too long; narrow it."},
}


@contextlib.contextmanager
def asking(stores: Backend) -> Iterator[Callable[[], float]]:
    """Wrap a query to the stores: yield a stopwatch in ms, and turn the stores' errors into 400, 503 or 504."""
    began = time.perf_counter()
    try:
        yield lambda: round((time.perf_counter() - began) * 1000, 2)
    except QueryError as error:
        tell = f"{error}: {error.hint}" if error.hint else str(error)
        code = error.code if error.code == "too_many_points" else f"query_{error.code}"
        raise Problem(400, code, tell) from error
    except StoreError as error:
        tell = f"{error}: {error.hint}" if error.hint else str(error)
        if time.perf_counter() - began >= stores.settings.query_timeout_s:
            raise Problem(504, "query_timeout", tell) from error
        retry = {"Retry-After": str(max(1, round(error.retry_after_s or RETRY_S)))}
        raise Problem(503, "store_unavailable", f"{tell}; try again later", headers=retry) from error


def reading(parameter: str, text: str, error: QueryError) -> Problem:
    """The problem for a parameter that cannot be read; for `q`, a caret marks the position of the error."""
    tell = f"{error}: {error.hint}" if error.hint else str(error)
    if parameter != "q":
        return Problem(400, error.code, f"{parameter}: {tell}", parameter=parameter)
    extra: dict[str, Any] = {"parameter": parameter, "position": error.position}
    if error.position is not None:
        extra["snippet"] = snippet(text, error.position)
    return Problem(400, f"query_{error.code}", tell, **extra)


def snippet(text: str, position: int) -> str:
    """Two lines: the text around `position`, and a caret below it."""
    start = max(0, position - _SNIPPET_CHARS)
    shown = "".join(char if char.isprintable() else " " for char in text[start : position + _SNIPPET_CHARS])
    return f"{shown}\n{' ' * (position - start)}^"


def json_answer(answer: Mapping[str, Any]) -> Response:
    return Response(encode(answer), media_type="application/json")


def tiers_shown(tiers: Mapping[str, TierUse]) -> dict[str, dict[str, Any]]:
    return {
        name: {"rows": use.rows, "days": use.days, "took_ms": round(use.took_ms, 2), "error": use.error}
        | ({"skipped": True} if use.skipped else {})
        for name, use in tiers.items()
    }
