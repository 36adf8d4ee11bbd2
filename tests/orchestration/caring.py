"""A folder with records of one arrival day, a clock that stands on a later day, and Dagster without a daemon."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from contracts.messages import Kind
from lakehouse.lake.store import Lake
from orchestration.resources import Upkeep
from tests.lakehouse.lake_samples import DAY_NS, batch, log, metric
from tests.settings import settings

# The partitions of the definitions begin today when no folder says otherwise: what arrived "today" is a closed day by
# a clock that stands on tomorrow.
NOW_NS = time.time_ns()
TODAY = dt.datetime.fromtimestamp(NOW_NS / 1e9, dt.UTC).date()


def upkeep(folder: Path, days_later: int = 1) -> Upkeep:
    return Upkeep(overrides={"data_dir": str(folder)}, clock_ns=NOW_NS + days_later * DAY_NS)


def land(folder: Path, days_ago: int = 0, ahead_s: int = 0, batches: int = 3, first: int = 0) -> None:
    """Logs and metric points, a commit for each batch."""
    lake = Lake(str(folder / "lake"), settings(data_dir=folder))
    at_ns = NOW_NS - days_ago * DAY_NS
    for kind in (Kind.LOGS, Kind.METRICS):
        writer = lake.writer(kind)
        for number in range(first, first + batches):
            when_ns = at_ns + number * 10**9 + ahead_s * 10**9
            rows = [
                log(n, at_ns=when_ns - n * 10**6) if kind is Kind.LOGS else metric(n, 1.0 * n, when_ns - n * 10**6)
                for n in range(50)
            ]
            writer.append([batch(*rows, offset=number, kind=kind, received_ns=at_ns + number * 10**9)])
            writer.commit()
        writer.close()
    lake.close()
