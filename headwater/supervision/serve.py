"""Both HTTP services on one port: bus, hot store and lake -> one FastAPI.

    python -m headwater.supervision.serve

Delivery: the service answers 202 when the bus has stored the records durably. It is stateless; any number may run.
Not handled: TLS; put a proxy in front of it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headwater.supervision.child import die_with_parent

if TYPE_CHECKING:
    from fastapi import FastAPI

    from contracts.settings import Settings

GRACE_S = 2.0  # for running requests at a stop; `up` waits a little longer before it kills


def create_app(settings: Settings) -> FastAPI:
    """Ingestion and query routes in one app, over one set of adapters."""
    import bus
    import ingestion_api.app
    import lakehouse
    import query_api.app
    from headwater.supervision.batch_metrics import BatchFailures
    from lakehouse.read.search import Search
    from web.service import close_at_end, create_service

    queue = bus.open_bus(settings.bus, settings)
    hot = lakehouse.open_hot(settings.hot, settings)
    lake = lakehouse.open_lake(settings.lake, settings)
    app = create_service("Headwater", settings)
    ingestion_api.app.mount(app, queue, settings)
    query_api.app.mount(app, Search(hot, lake, settings), queue, lake, hot, settings)
    app.state.registry.register(BatchFailures(settings.data))
    close_at_end(app, hot, lake, queue)
    return app


def main() -> int:
    die_with_parent()
    from contracts.settings import load_settings
    from contracts.unused_packages import refuse_pandas
    from web.server import serve

    refuse_pandas()
    settings = load_settings()
    serve(
        create_app(settings),
        settings.host,
        settings.port,
        header_timeout_s=settings.ingest_header_timeout_s,
        write_timeout_s=settings.http_write_timeout_s,
        grace_s=GRACE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
