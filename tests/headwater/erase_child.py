"""A process that begins an erasure, or completes what is left of one, and dies at the failpoint of its environment.

python -m tests.headwater.erase_child DATA_DIR QUERY begin|resume
"""

from __future__ import annotations

import sys
from pathlib import Path

from headwater.commands.erase import Wanted, erase, resume
from tests.settings import settings

if __name__ == "__main__":
    given = settings(data_dir=Path(sys.argv[1]), erase_look_s=0.05, erase_grace_s=0)
    if sys.argv[3] == "begin":
        erase(given, Wanted("default", sys.argv[2]), dry_run=False, yes=True)
    else:
        resume(given, no_flows=False)
