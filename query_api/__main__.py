"""The query service by itself: `python -m query_api`, on HEADWATER_HOST and HEADWATER_PORT."""

from __future__ import annotations

import sys

from contracts.errors import HeadwaterError
from contracts.settings import load_settings
from contracts.unused_packages import refuse_pandas
from query_api.app import create_app
from web.server import serve


def main() -> int:
    refuse_pandas()
    try:
        settings = load_settings()
        app = create_app(settings)
    except HeadwaterError as error:
        sys.stderr.write(f"{error}{': ' if error.hint else ''}{error.hint}\n")
        return 1
    serve(
        app,
        settings.host,
        settings.port,
        header_timeout_s=settings.ingest_header_timeout_s,
        write_timeout_s=settings.http_write_timeout_s,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
