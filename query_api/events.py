"""`GET /events/search`: Lucene text, filters and a time range -> pages of events."""

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
    Limit,
    Name,
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


@router.get(
    "/events/search", summary="Search events", response_class=Response, responses=PROBLEMS, dependencies=KNOWN_ONLY
)
def search_events(
    stores: Stores,
    reader: Reader,
    q: Text = "",
    start: Start = None,
    end: End = None,
    name: Name = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    service: Service = [],  # noqa: B006
    env: Env = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = "",
    order: PageOrder = Order.DESC,
    tiers: Tiers = DEFAULT_TIERS_TEXT,
) -> Response:
    """`{"records", "next_cursor", "partial", "tiers", "took_ms"}`, as `/logs/search`."""
    values = {"name": name, "service": service, "env": env, "host": host}
    asked = PageRequest(Kind.EVENTS, q, start, end, values, (), limit, cursor, order, tiers_of(tiers))
    return page(stores, reader.tenant, asked)
