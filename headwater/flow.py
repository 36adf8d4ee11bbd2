"""The embedded flow as a child of `headwater up`: `flows.embedded`, tied to its parent.

    python -m headwater.flow

Delivery and limits are those of `flows.embedded`.
"""

from __future__ import annotations

import sys

from headwater.child import die_with_parent


def main() -> int:
    die_with_parent()
    from contracts.settings import load_settings
    from flows.embedded import run

    return run(load_settings())


if __name__ == "__main__":
    sys.exit(main())
