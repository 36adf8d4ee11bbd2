"""The flow as a process: killed at seeded moments, stopped by SIGTERM, run by the engine's own command."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.messages import Kind
from tests import children
from tests.children import Child
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.waiting import until

KILLS = 6


def start(world: World, *arguments: str, **settings: str) -> Child:
    environment = {"HEADWATER_DATA_DIR": str(world.settings.data)}
    for name, value in {"lake_commit_s": "0.3", "hot_commit_s": "0.1", **settings}.items():
        environment[f"HEADWATER_{name.upper()}"] = value
    with (world.settings.data.parent / "flow.log").open("ab") as log:
        return Child(*arguments, env=environment, loads=["flows.embedded"], output=log)


def killed_at_work(world: World, pause_s: float, **settings: str) -> None:
    """Start the flow, and kill it `pause_s` seconds after the lake has got something new."""

    def landed() -> int:
        return sum(world.connections.lake.checkpoints(Kind.LOGS).values())

    before = landed()
    process = start(world, "flows", **settings)
    until(lambda: landed() > before, "progress")
    time.sleep(pause_s)
    process.kill()
    process.wait()


class Sender(threading.Thread):
    """Appends numbered records until told to stop; some batches twice, some lines unusable."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.sent = 0
        self.bad = 0
        self._world = world
        self._rng = random.Random(seed)

    def run(self) -> None:
        while not self.stopping.wait(0.01):
            count = self._rng.randrange(1, 60)
            lines = [line(f"n{number}") for number in range(self.sent, self.sent + count)]
            if self._rng.random() < 0.2:
                lines[-1] = f"bad {self.sent}".encode()
                self.bad += 1
            sent = message(lines, sequence=self.sent, packed=self._rng.random() < 0.5)
            self._world.append(*[sent] * self._rng.choice((1, 1, 1, 2)))
            self.sent += count


def test_killed_at_any_moment_each_record_is_there_once(world: World) -> None:
    rng = random.Random(20261124)
    sender = Sender(world, seed=1)
    sender.start()
    for _ in range(KILLS):
        killed_at_work(world, rng.uniform(0, 0.6))
    sender.stopping.set()
    sender.join()
    world.reopen()
    world.run()

    bodies = world.hot_bodies()
    assert set(bodies.values()) == {1}
    assert bodies == world.lake_bodies()
    assert len(bodies) == sender.sent - sender.bad
    assert len(world.lake_rows("dead_letters")) == sender.bad == world.ledger().dead_lettered


def test_sigterm_commits_everything_and_the_next_start_repeats_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(50)))
    # No commit by time: the lake shows progress once 30 rows wait, all else is committed at the end or not at all.
    process = start(world, "flows", lake_commit_rows="30", lake_commit_s="60", hot_commit_s="60")
    until(lambda: bool(world.connections.lake.checkpoints(Kind.LOGS)), "progress")
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(50, 80)))
    time.sleep(0.2)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - begun < 10

    world.reopen()
    stopped_at = dict(world.connections.lake.checkpoints(Kind.LOGS))
    assert stopped_at == dict(world.connections.hot.checkpoints(Kind.LOGS))  # both stopped at one place
    assert sum(stopped_at.values()) >= 50
    read: Counter[int] = Counter()
    monkeypatch.setattr("flows.parse.batch.decode", counting(read))
    world.run()
    assert sorted(read) == list(range(sum(stopped_at.values()), 80))  # nothing before the place was read again
    assert world.hot_bodies() == world.lake_bodies() == Counter(f"n{number}" for number in range(80))


def counting(read: Counter[int]) -> Callable[..., object]:
    from flows.parse.decode import decode

    def count(arrival: object, *rest: object) -> object:
        read[arrival.message.offset] += 1  # type: ignore[attr-defined]  # an Arrival, passed through
        return decode(arrival, *rest)  # type: ignore[arg-type]  # the same

    return count


def test_the_engines_own_command_runs_it_with_a_recovery_store(world: World, tmp_path: Path) -> None:
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    assert children.run("bytewax.recovery", recovery, 1).returncode == 0
    for first in (0, 20):
        world.append(message([line(f"n{number}") for number in range(first, first + 20)], sequence=first))
        process = start(world, "bytewax.run", "flows.logs", "-r", str(recovery), "-s", "1", "-b", "0")
        until(lambda: not world.behind([Kind.LOGS]), "catching up")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    world.reopen()

    assert world.hot_bodies() == world.lake_bodies() == Counter(f"n{number}" for number in range(40))


def test_a_flow_that_cannot_go_on_says_why_and_ends(world: World) -> None:
    world.connections.bus.partitions(Kind.LOGS.topic)
    world.connections.close()
    file = world.settings.data / "bus.db"
    empty = file.read_bytes()
    world.reopen()
    world.append(message([line("a")]), message([line("b")], sequence=1))
    world.run()
    world.connections.close()
    file.write_bytes(empty)  # an older copy of the same bus

    process = start(world, "flows")
    assert process.wait(40) == 1
    assert "older copy" in (world.settings.data.parent / "flow.log").read_text()
