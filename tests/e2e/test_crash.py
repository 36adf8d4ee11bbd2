"""The guarantee under SIGKILL: acknowledged records exactly once in hot, lake and REST; refused ones nowhere."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest

from tests.e2e.scenario import Crash

KILLS = 12  # of each of the two runs
TRIES = 5
SOAK_KILLS = int(os.environ.get("HEADWATER_SOAK_KILLS", "0"))


def crash(folder: Path, seed: int, kills: int, sabotage: str = "") -> Crash:
    run = Crash(folder, seed, sabotage)
    run.run(kills)
    run.drain()
    return run


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("seed", "steps"), [(20261124, ""), (20261125, "stretched-steps")])
def test_every_acknowledged_record_is_visible_exactly_once_through_kills(seed: int, steps: str, tmp_path: Path) -> None:
    with contextlib.closing(crash(tmp_path, seed, KILLS, steps)) as run:
        assert run.kills == KILLS
        assert run.proxy.cuts > 0
        assert len(run.oracle.acknowledged) > 3_000
        assert run.faults() == []


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("sabotage", "victim", "sign"),
    [
        ("no-checkpoint-in-hot-commit", "flow", "hot: .* doubled"),
        ("no-transaction-in-lake-commit", "flow", "lake: .* doubled"),
        ("no-sequence-dedupe", "api", "doubled"),
        ("acknowledge-before-durable", "api", "missing"),
    ],
)
def test_the_crash_test_turns_red_with(sabotage: str, victim: str, sign: str, tmp_path: Path) -> None:
    found: list[str] = []
    for seed in range(TRIES):  # one kill each; most need one
        with contextlib.closing(Crash(tmp_path / str(seed), seed, sabotage)) as run:
            run.run_broken(victim)
            found = run.faults()
        if any(re.search(sign, fault) for fault in found):
            return
    pytest.fail(f"{sabotage} went unnoticed: {found}")


@pytest.mark.skipif(not SOAK_KILLS, reason="a longer run: make soak")
@pytest.mark.timeout(0)
def test_soak(tmp_path: Path) -> None:
    rounds = max(1, SOAK_KILLS // 40)
    for number in range(rounds):
        with contextlib.closing(crash(tmp_path / str(number), seed=number, kills=SOAK_KILLS // rounds)) as run:
            assert run.faults() == [], f"round {number}"
            print(f"round {number}: {run.kills} kills, {len(run.oracle.acknowledged)} acknowledged, all accounted for")
