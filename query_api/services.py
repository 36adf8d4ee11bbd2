"""`GET /services`: a time range -> every service with logs in it, how many and how bad."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from lakehouse.record_view import rfc3339
from query_api.backend import KNOWN_ONLY, PROBLEMS, Reader, Stores, asking, json_answer, tiers_shown
from query_api.filters import closed_range
from query_api.parameters import DEFAULT_TIERS_TEXT, End, Start, Tiers, tiers_of

router = APIRouter(tags=["query"])

DEFAULT_RANGE = "now-15m"


@router.get("/services", summary="List services", response_class=Response, responses=PROBLEMS, dependencies=KNOWN_ONLY)
def list_services(
    stores: Stores, reader: Reader, start: Start = DEFAULT_RANGE, end: End = "now", tiers: Tiers = DEFAULT_TIERS_TEXT
) -> Response:
    """`{"services": [{"name", "env", "hosts", "last_seen", "logs", "errors", "logs_per_s", "error_rate"}], "partial",
    "tiers", "took_ms"}`. `error_rate` is the share of logs at error or above, 0 to 1."""
    asked = tiers_of(tiers)
    start_ns, end_ns = closed_range(start or DEFAULT_RANGE, end or "now", stores.clock())
    with asking(stores) as took_ms:
        found = stores.search.services(reader.tenant, start_ns, end_ns, asked)
    services = [
        {
            "name": service.name,
            "env": service.env,
            "hosts": service.hosts,
            "last_seen": rfc3339(service.last_seen_ns),
            "logs": service.logs,
            "errors": service.errors,
            "logs_per_s": service.logs_per_s,
            "error_rate": service.error_rate,
        }
        for service in found.services
    ]
    uses = tiers_shown(found.tiers)
    return json_answer({"services": services, "partial": found.partial, "tiers": uses, "took_ms": took_ms()})
