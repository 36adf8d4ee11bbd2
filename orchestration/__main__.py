"""The batch tiers by themselves: settings of the environment -> daemon, code server and UI.

python -m orchestration
"""

from __future__ import annotations

import sys

from contracts.errors import HeadwaterError


def main() -> int:
    from contracts.settings import load_settings
    from orchestration.process.serve import serve

    try:
        return serve(load_settings())
    except HeadwaterError as error:
        sys.stderr.write(f"error: {error}{f' ({error.hint})' if error.hint else ''}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
