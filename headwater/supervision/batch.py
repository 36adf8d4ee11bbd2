"""The batch tiers as a child of `headwater up`: `orchestration.process.serve`; it and its runs end with the parent.

    python -m headwater.supervision.batch

Delivery and limits are those of `orchestration.process.serve`.
"""

from __future__ import annotations

import os
import sys

from headwater.supervision.child import PARENT, die_with_parent


def main() -> int:
    die_with_parent()
    from contracts.errors import HeadwaterError
    from contracts.settings import load_settings
    from orchestration.process.serve import serve

    os.environ[PARENT] = str(os.getpid())  # parent of the runs; multiprocessing starts them and imports this file
    try:
        return serve(load_settings())
    except HeadwaterError as error:
        sys.stderr.write(f"{error}{f' ({error.hint})' if error.hint else ''}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
elif __name__ == "__mp_main__":
    die_with_parent()
