"""Nothing is read twice and nothing is lost over SIGKILL at any instant; each sabotage is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.crash import crash
from tests.agents.sabotaged import SABOTAGES


@pytest.mark.parametrize("seed", [1, 2])
def test_every_line_arrives_exactly_once_over_kills_rotations_and_lost_answers(tmp_path: Path, seed: int) -> None:
    assert crash(tmp_path, seed, kills=6) == []


@pytest.mark.long
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_decision_is_seen(tmp_path: Path, sabotage: str) -> None:
    for seed in range(1, 6):
        if crash(tmp_path / str(seed), seed, kills=4, sabotage=sabotage):
            return
    pytest.fail(f"{sabotage} went unnoticed")
