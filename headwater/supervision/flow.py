"""The embedded flow as a child of `headwater up`: `flows.embedded`, tied to its parent.

    python -m headwater.supervision.flow

Delivery and limits are those of `flows.embedded`.
"""

from __future__ import annotations

import datetime as dt
import json
import sys

from headwater.supervision.child import die_with_parent

STARTED = "the flow has loaded and opens its stores"  # `headwater up` takes this line for readiness


def main() -> int:
    die_with_parent()
    from contracts.settings import load_settings
    from flows.embedded import run

    settings = load_settings()
    entry = {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "level": "info", "message": STARTED}
    sys.stderr.write(json.dumps(entry) + "\n")  # one write, so that nothing comes between
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
