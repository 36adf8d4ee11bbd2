"""Seeds -> metric points in a lake, their rollups, and what these must add up to.

    python -m tests.lakehouse.upkeep.rollup_world URL roll_up|merge|restate

runs the one upkeep on a lake that is there, and dies where `HEADWATER_FAILPOINT` says.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.messages import Kind
from contracts.records import MetricRow
from lakehouse.delta.schemas import ROLLUPS, SERIES
from lakehouse.lake.writer import LakeWriter
from lakehouse.sql.sketch import key_of
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rollups import rollups
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS, batch, metric
from tests.settings import settings

S = 10**9
TODAY = dt.date(2026, 3, 4)


def care_of(url: str, **overrides: object) -> Care:
    return Care(settings(lake_url=url, archive_url=f"{url}-archive", **overrides), lambda: NOON_NS + DAY_NS)


def some_points(seed: int, count: int, hours: float = 3) -> list[MetricRow]:
    """Points of four series from `hours` before noon on, in no order of time; some are of the day before."""
    chance = random.Random(seed)
    points = []
    for _ in range(count):
        at_ns = NOON_NS + int(chance.uniform(-hours * 3600, 60) * S) // 1000 * 1000
        if chance.random() < 0.1:
            at_ns -= DAY_NS
        value = chance.choice([0.0, chance.lognormvariate(2, 2), -chance.lognormvariate(0, 1)])
        which = chance.randrange(4)
        points.append(metric(0, value, at_ns, service=f"s{which % 2}", attributes={"cpu": which}))
    return points


@dataclass
class Points:
    """Writes points to the lake, one a message, by turns to two partitions."""

    url: str
    sent: int = 0

    def land(self, points: Sequence[MetricRow], arrival_ns: int = NOON_NS) -> None:
        writer = LakeWriter(self.url, Kind.METRICS, settings())
        for point in points:
            at = divmod(self.sent, 2)
            writer.append([batch(point, offset=at[0], partition=at[1], kind=Kind.METRICS, received_ns=arrival_ns)])
            self.sent += 1
        writer.commit()


Window = tuple[object, ...]
Counted = tuple[int, float, float, float, Counter[int], tuple[object, float]]


def held(care: Care, name: str) -> dict[Window, Counted]:
    """Every window of a rollup table, its rows added up here: count, sum, min, max, sketch, last."""
    found: dict[Window, Counted] = {}
    for row in _rows(care, name):
        key = (*(row[column] for column in SERIES), row["timestamp"])
        sketch = Counter(dict(zip(row["sketch_keys"], row["sketch_counts"], strict=True)))
        at = tuple(row[f"last_{part}"] for part in ("timestamp", "partition", "offset", "index"))
        _add(found, key, (row["count"], row["sum"], row["min"], row["max"], sketch, (at, row["last"])))
    return {key: (have[0], round(have[1], 6), *have[2:]) for key, have in found.items()}


def expected(care: Care, name: str) -> dict[Window, Counted]:
    """The same from the raw points."""
    found: dict[Window, Counted] = {}
    for row in _rows(care, "metrics"):
        at_s = int(row["timestamp"].timestamp()) // ROLLUPS[name] * ROLLUPS[name]
        key = (*(row[column] for column in SERIES), dt.datetime.fromtimestamp(at_s, dt.UTC))
        value, at = row["value"], tuple(row[c] for c in ("timestamp", "bus_partition", "bus_offset", "bus_index"))
        _add(found, key, (1, value, value, value, Counter([key_of(value)]), (at, value)))
    return {key: (have[0], round(have[1], 6), *have[2:]) for key, have in found.items()}


def _rows(care: Care, name: str) -> list[dict[str, Any]]:
    builder = QueryBuilder()
    care.table(name).register(builder)
    return pa.RecordBatchReader.from_stream(builder.execute(f"SELECT * FROM {name}")).read_all().to_pylist()


def _add(found: dict[Window, Counted], key: Window, more: Counted) -> None:
    if (have := found.get(key)) is not None:
        last = max(have[5], more[5], key=_place)
        more = (
            have[0] + more[0],
            have[1] + more[1],
            min(have[2], more[2]),
            max(have[3], more[3]),
            have[4] + more[4],
            last,
        )
    found[key] = more


def _place(last: tuple[Any, float]) -> Any:
    return last[0]


def rows_in(care: Care, name: str) -> int:
    return sum(file["num_records"] for file in care.table(name).files())


def act(care: Care, what: str) -> None:
    if what == "roll_up":
        rollups.roll_up(care)
    for table in ROLLUPS if what != "roll_up" else ():
        (rollups.merge if what == "merge" else rollups.restate)(care, table, TODAY)


if __name__ == "__main__":
    rollups.PART_ROWS = 40
    act(care_of(sys.argv[1]), sys.argv[2])
