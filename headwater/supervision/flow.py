"""The embedded flow as a child of `headwater up`: `flows.embedded`, which ends with its parent.

    python -m headwater.supervision.flow

Delivery and limits are those of `flows.embedded`.
"""

from __future__ import annotations

import sys

from headwater.supervision.child import die_with_parent

STARTED = "the flow has loaded and opens its stores"  # `headwater up` takes this line as a sign of readiness


def main() -> int:
    die_with_parent()
    from contracts.own_logs import line
    from contracts.settings import load_settings
    from flows.embedded import run

    settings = load_settings()
    sys.stderr.write(line("info", {"message": STARTED}) + "\n")  # one write, so that no other text comes between
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
