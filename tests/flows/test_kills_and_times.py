"""The flow is killed while lines without a time of their own pass: the time of each depends on its record alone."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

from contracts.messages import Kind, Message
from contracts.query import All, RecordQuery
from contracts.timestamps import timestamp_ns
from tests.flows.messages import ARRIVAL_NS, TENANT, line, message
from tests.flows.running import World
from tests.flows.test_processes import killed_at_work

KILLS, BATCHES = 3, 15
BEFORE = dt.datetime(2025, 12, 31, 10, tzinfo=dt.UTC)  # in New York: five hours earlier


def batch(number: int, wanted: dict[str, int]) -> Message:
    """A line with a time of its own, and lines that have that of the line before by `preceding_text`."""
    at = BEFORE + dt.timedelta(seconds=number)
    head = f"{at - dt.timedelta(hours=5):%Y-%m-%d %H:%M:%S},500 ERROR of {number}"
    bodies = [head, *(f"\tat line {each} of {number}" for each in range(4))]
    reader = {"observed_timezone": "America/New_York", "observed_timestamp": ARRIVAL_NS}
    wanted |= dict.fromkeys(bodies, timestamp_ns(at.isoformat()) + 500_000_000)
    lines = [line(head, **reader), *(line(body, preceding_text=head, **reader) for body in bodies[1:])]
    return message(lines, stream="s", sequence=5 * number)


def test_hot_store_and_lake_agree_on_the_time_of_every_line(tmp_path: Path) -> None:
    rng, world, wanted = random.Random(7), World(tmp_path), dict[str, int]()
    for turn in range(KILLS):
        for number in range(BATCHES):
            world.append(batch(BATCHES * turn + number, wanted), key="k")
        killed_at_work(world, rng.uniform(0, 0.3), lake_commit_s="0.2")
        world.reopen()
    world.run()

    hot = world.connections.hot
    found = hot.search(TENANT, RecordQuery(Kind.LOGS, All(), None, None, 1_000_000), hot.days(Kind.LOGS))
    in_hot = sorted((str(record.fields["body"]), timestamp_ns(record.fields["timestamp"])) for record in found)
    in_lake = sorted((row["body"], timestamp_ns(row["timestamp"].isoformat())) for row in world.lake_rows())
    world.connections.close()
    assert in_hot == in_lake == sorted(wanted.items())
