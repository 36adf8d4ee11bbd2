"""Kill processes that append, at random moments: what they were told is stored, is stored, once and unchanged."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bus.sqlite.bus import SqliteBus
from contracts.messages import Message
from contracts.settings import load_settings
from tests.bus.appender import TOPIC, payload_of

ROOT = Path(__file__).resolve().parents[3]


def run_and_kill(path: Path, runs: Sequence[str], after_s: float, *sabotage: str) -> dict[str, int]:
    """Messages acknowledged to processes that append at once, before their SIGKILL: name -> offset."""
    command = [sys.executable, "-m", "tests.bus.appender", str(path)]
    output = ""
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen([*command, run, *sabotage], cwd=ROOT, stdout=subprocess.PIPE))
            for run in runs
        ]
        pipes = [child.stdout for child in children if child.stdout is not None]
        firsts = [pipe.readline() for pipe in pipes]
        time.sleep(after_s)
        for child in children:
            child.kill()
        for first, pipe in zip(firsts, pipes, strict=True):
            output += (first + pipe.read()).decode().rpartition("\n")[0] + "\n"
    return {name: int(offset) for name, offset in (line.split() for line in output.splitlines())}


def stored(path: Path) -> Mapping[int, list[Message]]:
    found: dict[int, list[Message]] = {}
    with contextlib.closing(SqliteBus(path, load_settings(_env_file=None))) as bus:
        for partition in bus.partitions(TOPIC):
            found[partition] = []
            with contextlib.closing(bus.reader(TOPIC, partition, 0)) as reader:
                while batch := reader.poll(1000):
                    found[partition] += batch
    return found


def complaints(acknowledged: Mapping[str, int], found: Mapping[int, list[Message]]) -> list[str]:
    """What is wrong, in words; nothing is the right answer."""
    everything = [message for messages in found.values() for message in messages]
    times = Counter(message.headers["name"] for message in everything)
    places = {message.headers["name"]: message.offset for message in everything}
    wrong = [f"missing: {name}" for name in acknowledged if name not in times]
    wrong += [f"moved: {name}" for name, offset in acknowledged.items() if places.get(name, offset) != offset]
    wrong += [f"doubled: {name}" for name, count in times.items() if count > 1]
    wrong += [f"changed: {each.offset}" for each in everything if each.payload != payload_of(each.headers["name"])]
    for messages in found.values():
        offsets = [message.offset for message in messages]
        wrong += [] if offsets == list(range(len(offsets))) else [f"gap: {offsets}"]
    return wrong


def crash(path: Path, seed: int, kills: int, *sabotage: str) -> tuple[dict[str, int], list[str]]:
    moments = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for run in range(kills):
        acknowledged |= run_and_kill(path, (f"{run}a", f"{run}b"), moments.uniform(0, 0.3), *sabotage)
    return acknowledged, complaints(acknowledged, stored(path))


def test_every_acknowledged_message_outlives_kills_exactly_once_in_order_and_unchanged(tmp_path: Path) -> None:
    acknowledged, wrong = crash(tmp_path / "bus.db", seed=11, kills=6)

    assert wrong == []
    assert len({name.split("/")[0] for name in acknowledged}) == 12, "each process was told of something"


@pytest.mark.long
def test_the_crash_test_turns_red_when_appends_are_acknowledged_before_the_commit(tmp_path: Path) -> None:
    acknowledged, wrong = crash(tmp_path / "bus.db", 11, 2, "acknowledge-early")

    assert acknowledged
    assert any(complaint.startswith("missing") for complaint in wrong)
