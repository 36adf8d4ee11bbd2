"""The flow is killed again and again while old batches are repeated, and the bus has forgotten their headers."""

from __future__ import annotations

import random
from pathlib import Path

from contracts.messages import Kind, Message
from flows.read.memory import saved_repeats
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.flows.test_processes import killed_at_work

KILLS = 5
BATCHES = 25  # between two kills


class Senders:
    """Agents, some streams of which have several requests in flight, and clients with a key, or with nothing."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._next = rng, dict.fromkeys(range(12), 0)
        self._requests = 0
        self.sent: list[Message] = []
        self.records: set[str] = set()

    def batch(self) -> Message:
        stream, count = self._rng.randrange(12), self._rng.randrange(1, 8)
        if stream < 4:
            self._requests += 1
            names = [f"r{self._requests}.{at}" for at in range(count)]
            producer = f"{'key' if stream < 2 else 'req'}:{self._requests}"
            made = message([line(name) for name in names], producer=producer, stream="")
        else:
            first = self._next[stream]
            self._next[stream] += count
            names = [f"s{stream}.{at}" for at in range(first, first + count)]
            made = message([line(name) for name in names], stream=f"s{stream}", sequence=first)
        self.records.update(names)
        return made

    def round(self, world: World) -> None:
        """New batches, a few of them in another order, and repeats of any that there ever were."""
        new = [self.batch() for _ in range(BATCHES)]
        self.sent += new
        for at in range(0, BATCHES - 1, 5):
            new[at], new[at + 1] = new[at + 1], new[at]
        for each in new:
            world.append(each, key="k")
            if self._rng.random() < 0.6:
                world.append(self._rng.choice(self.sent[: len(self.sent) - BATCHES] or new[:1]), key="k")


def forget(world: World, partition: int) -> None:
    """Let the bus forget all that a start need not read: what the stores have, and the saved state."""
    landed = world.connections.lake.checkpoints(Kind.LOGS).get(partition, 0)
    saved = saved_repeats(world.connections, Kind.LOGS, partition).at(min(landed, hot_landed(world, partition)))
    world.settings.__dict__["bus_retention_h"] = 1e-9
    world.connections.bus.trim(Kind.LOGS.topic, {partition: saved.offset})
    world.settings.__dict__["bus_retention_h"] = 72.0


def hot_landed(world: World, partition: int) -> int:
    return world.connections.hot.checkpoints(Kind.LOGS).get(partition, 0)


def test_killed_at_any_moment_a_flow_knows_what_it_had_seen_though_the_bus_does_not(tmp_path: Path) -> None:
    rng, world = random.Random(20261130), World(tmp_path)
    senders, partition = Senders(rng), world.connections.bus.partition_for(Kind.LOGS.topic, "k")
    forgotten = []
    for _ in range(KILLS):
        senders.round(world)
        killed_at_work(world, rng.uniform(0, 0.7), lake_commit_s="0.2")
        world.reopen()
        forget(world, partition)
        forgotten.append(world.connections.bus.extents(Kind.LOGS.topic)[partition].first_offset)
    senders.round(world)
    world.run()

    assert forgotten[-1] > BATCHES  # else the test tells nothing
    assert world.lake_bodies() == world.hot_bodies() == dict.fromkeys(senders.records, 1)
    world.connections.close()
