"""`GET /logs/search`: Lucene text, filters and a time range -> pages of log records."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from contracts.messages import Kind
from query_api.backend import KNOWN_ONLY, PROBLEMS, Reader, Stores
from query_api.pages import DEFAULT_LIMIT, PageRequest, page
from query_api.parameters import (
    DEFAULT_TIERS_TEXT,
    End,
    Env,
    Host,
    Level,
    Limit,
    Order,
    PageCursor,
    PageOrder,
    Service,
    Start,
    Text,
    Tiers,
    tiers_of,
)

router = APIRouter(tags=["query"])


@router.get("/logs/search", summary="Search logs", response_class=Response, responses=PROBLEMS, dependencies=KNOWN_ONLY)
def search_logs(
    stores: Stores,
    reader: Reader,
    q: Text = "",
    start: Start = None,
    end: End = None,
    service: Service = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    env: Env = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    level: Level = [],  # noqa: B006
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = "",
    order: PageOrder = Order.DESC,
    tiers: Tiers = DEFAULT_TIERS_TEXT,
) -> Response:
    """`{"records", "next_cursor", "partial", "tiers", "took_ms"}`. `next_cursor` is null on the last page; `partial`
    is true when a tier that was needed did not answer, and `tiers` says why; `tiers.archive` with `skipped` names days
    that may hold more."""
    values = {"service": service, "env": env, "host": host}
    asked = PageRequest(Kind.LOGS, q, start, end, values, level, limit, cursor, order, tiers_of(tiers))
    return page(stores, reader.tenant, asked)
