"""A process that compacts one day of the logs and dies at the failpoint that its environment names.

python -m tests.lakehouse.upkeep.compaction_child DATA_DIR DAY closed|open
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from lakehouse.upkeep.care import Care
from lakehouse.upkeep.compaction.compact import compact_closed, compact_open
from tests.settings import settings

if __name__ == "__main__":
    care = Care(settings(data_dir=Path(sys.argv[1])))
    work = compact_closed if sys.argv[3] == "closed" else compact_open
    print(work(care, "logs", dt.date.fromisoformat(sys.argv[2])).rows)
