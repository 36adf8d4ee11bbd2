"""The query service: hot store, lake and bus -> REST answers.

    uvicorn query_api.app:app

Holds no state of its own: any number of these may run beside each other. Reads only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI

from contracts.bus import Bus
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.settings import Settings, load_settings
from contracts.tenants import Tenant
from query_api import conservation, events, logs, metrics, services, tail
from query_api.account import Ledgers
from query_api.backend import Backend
from query_api.lags import StoreLags
from web.health import add_check
from web.service import close_at_end, create_service
from web.telemetry import registry_of

if TYPE_CHECKING:
    from lakehouse.lake.store import Lake
    from lakehouse.read.search import Search

_apps: list[FastAPI] = []


def mount(
    app: FastAPI,
    search: Search,
    bus: Bus,
    lake: Lake,
    hot: HotStore | None,
    settings: Settings,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Add the query routes to `app`, and a readiness check: the lake can be read."""
    ledgers = Ledgers(bus, lake, hot, Tenant(settings.foreign_tenant))
    lags = StoreLags(bus, lake, hot)
    registry_of(app).register(lags)
    app.state.query = Backend(search, ledgers, settings, lags, clock)
    app.state.tails = tail.TailService(hot, settings, registry_of(app))
    app.state.at_stop.append(app.state.tails.stop)
    for room in (logs, tail, events, metrics, services, conservation):
        app.include_router(room.router)

    def lake_can_be_read() -> str:
        lake.checkpoints(Kind.LOGS)
        return ""

    add_check(app, "lake", lake_can_be_read)


def create_app(settings: Settings) -> FastAPI:
    """The service on its own, over adapters that it opens and closes.

    Raises:
        StoreError, BusError, ConfigError: One of them cannot be opened.
    """
    from bus import open_bus
    from lakehouse import open_hot, open_lake
    from lakehouse.read.search import Search

    queue = open_bus(settings.bus, settings)
    hot = open_hot(settings.hot, settings)
    lake = open_lake(settings.lake, settings)
    app = create_service("Headwater query", settings)
    mount(app, Search(hot, lake, settings), queue, lake, hot, settings)
    close_at_end(app, hot, lake, queue)
    return app


def __getattr__(name: str) -> FastAPI:
    """Build `app` on first access, so that an import opens nothing."""
    if name != "app":
        raise AttributeError(name)
    if not _apps:
        _apps.append(create_app(load_settings()))
    return _apps[0]
