"""The ingestion service: settings -> an app.

    uvicorn ingestion_api.app:app      (or `python -m ingestion_api`, which has the header deadline)

202 means durable on the bus. Not handled: TLS and client certificates (put a proxy in front).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from bus import open_bus
from contracts.bus import Bus
from contracts.errors import HeadwaterError
from contracts.messages import Kind
from contracts.settings import Settings, load_settings
from ingestion_api.accept import Acceptor
from ingestion_api.breaker import GuardedBus
from ingestion_api.counters import Counters
from ingestion_api.models import MODELS
from ingestion_api.routes import Door, routes
from web.health import add_check
from web.service import close_at_end, create_service
from web.telemetry import registry_of


def mount(app: FastAPI, bus: Bus, settings: Settings) -> None:
    """Add the routes, their metrics, their schemas, and the readiness of the bus and its breaker to a service."""
    counters = Counters(registry_of(app))
    guarded = GuardedBus(bus, settings, counters)
    app.include_router(routes(Door(Acceptor(guarded, settings, counters), guarded, settings)))
    add_check(app, "bus", _bus_check(bus, settings.ingest_bus_timeout_s))
    add_check(app, "breaker", guarded.reason)
    _publish_models(app)


def create_app(settings: Settings) -> FastAPI:
    """The service as an app of its own. Opens the bus now, and closes it when the server stops.

    Raises:
        HeadwaterError: The bus cannot be opened.
    """
    app = create_service("Headwater ingestion", settings)
    bus = open_bus(settings.bus, settings)
    mount(app, bus, settings)
    close_at_end(app, bus)
    return app


def _bus_check(bus: Bus, timeout_s: float) -> Callable[[], str]:
    def check() -> str:
        try:
            bus.extents(Kind.LOGS.topic)
            bus.append(Kind.LOGS.topic, "", (), timeout_s=timeout_s)  # stores nothing; raises if the bus is full
        except HeadwaterError as error:
            return f"{error}: {error.hint}" if error.hint else str(error)
        return ""

    return check


def _publish_models(app: FastAPI) -> None:
    """Add the models of records to the OpenAPI document: our own decoder reads them, not the framework."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in MODELS.values():
            schemas.setdefault(model.__name__, model.model_json_schema(ref_template="#/components/schemas/{model}"))
        return document

    app.openapi = openapi  # type: ignore[method-assign] # the documented way to extend it


def __getattr__(name: str) -> FastAPI:
    if name != "app":
        raise AttributeError(name)
    made = create_app(load_settings())
    globals()["app"] = made
    return made
