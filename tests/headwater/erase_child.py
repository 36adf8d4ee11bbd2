"""An erasure that kills itself at one failpoint after the other: a process that forks after its imports.

python -m tests.headwater.erase_child DATA_DIR QUERY FAILPOINT... -> one line for each: how the attempt ended
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import flows.erase_bus  # noqa: F401  (imported once, for all attempts)
import lakehouse.upkeep.erasure.erase  # noqa: F401
import query_api.lucene  # noqa: F401
from contracts.failpoints import VARIABLE
from headwater.commands.erase import Wanted, erase, resume
from tests.settings import settings as flow_settings


def attempt(data: Path, query: str, point: str, is_first: bool) -> int:
    """The exit code; below 0 the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.environ[VARIABLE] = point
    settings = flow_settings(data_dir=data, erase_look_s=0.05, erase_grace_s=0)
    try:
        if is_first:
            erase(settings, Wanted("default", query), dry_run=False, yes=True)
        else:
            resume(settings, no_flows=False)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    data, query = Path(sys.argv[1]), sys.argv[2]
    for at, point in enumerate([*sys.argv[3:], ""]):
        print(f"\nended {point}: {attempt(data, query, point, is_first=not at)}", flush=True)
