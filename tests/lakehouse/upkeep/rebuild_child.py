"""A process that rebuilds, drops or forgets a day, killed at a failpoint; or that writes another day as a flow does.

HEADWATER_FAILPOINT=… python -m tests.lakehouse.upkeep.rebuild_child FOLDER [drop|forget]
python -m tests.lakehouse.upkeep.rebuild_child FOLDER write
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import time
from pathlib import Path

from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS, batch, log
from tests.settings import settings

WRITTEN = 60


def write(care: Care) -> None:
    with contextlib.closing(care.hot.writer(Kind.LOGS)) as hot, contextlib.closing(care.lake.writer(Kind.LOGS)) as lake:
        for offset in range(1000, 1000 + WRITTEN):
            made = [batch(log(at_ns=NOON_NS + 9 * DAY_NS), offset=offset, received_ns=NOON_NS + 2 * DAY_NS)]
            hot.append(made)
            lake.append(made)
            hot.commit()
            if offset % 20 == 19:
                lake.commit()
            time.sleep(0.02)


if __name__ == "__main__":
    care = Care(settings(data_dir=Path(sys.argv[1])), lambda: NOON_NS + 3 * DAY_NS)
    day = dt.date(2026, 3, 4)
    if sys.argv[2:] == ["write"]:
        write(care)
    elif sys.argv[2:] == ["drop"]:
        care.hot.drop_day(Kind.LOGS, day)
    elif sys.argv[2:] == ["forget"]:
        care.hot.forget(Kind.LOGS, day)
    else:
        rebuild_hot(care, Kind.LOGS, day)
