"""`GET /conservation`: the conservation equation of the caller's tenant, one account a kind."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from contracts.errors import BusError
from query_api.account import take
from query_api.backend import KNOWN_ONLY, PROBLEMS, Reader, Stores, asking, json_answer
from web.problems import Problem

router = APIRouter(tags=["query"])


@router.get(
    "/conservation",
    summary="Account for every record",
    response_class=Response,
    responses=PROBLEMS,
    dependencies=KNOWN_ONLY,
)
def conservation(stores: Stores, reader: Reader) -> Response:
    """`{"accounts": [{"tenant", "kind", "received", "visible", "duplicates", "dead_lettered", "dropped", "in_flight",
    "lost", "difference", "lag"}], "stores": [{"store", "kind", "messages", "seconds", "answers"}], "took_ms"}`:
    received = visible + duplicates + dead_lettered + dropped + in_flight, and `difference` is 0 when all is accounted
    for. `lag` counts messages and records of the tenant that a store has yet to take; `stores` says of everybody's how
    many messages each store lacks, for how long, and whether it answers."""
    with asking(stores) as took_ms:
        try:
            entries = take(stores.ledgers, reader.tenant)
        except BusError as error:
            tell = f"the bus cannot be read: {error}; try again later"
            raise Problem(503, "bus_unavailable", tell, headers={"Retry-After": "2"}) from error
        lags = stores.lags.latest() or stores.lags.look()
    accounts = [asdict(entry) for entry in entries]
    return json_answer({"accounts": accounts, "stores": [asdict(lag) for lag in lags], "took_ms": took_ms()})
