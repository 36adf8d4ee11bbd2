"""Several inputs of one agent: a file, or a copy of it, that comes from the patterns of one into those of another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.settings import Settings
from tests.agents.server import Sink
from tests.agents.test_run_config import running
from tests.agents.test_tail import append
from tests.waiting import until

LINES = [f"line {number} of the log" for number in range(100)]
ORDERS = [("live", "kept"), ("kept", "live")]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[tuple[str, str]], Path]:
    """A config with one input for each folder, in this order; its service is the folder's name."""

    def write(folders: tuple[str, str]) -> Path:
        for folder in folders:
            (tmp_path / folder).mkdir()
        path = tmp_path / "agent.toml"
        path.write_text("".join(f'[[logs]]\npath = ["{tmp_path}/{name}/*"]\nservice = "{name}"\n' for name in folders))
        return path

    return write


@pytest.mark.parametrize("order", ORDERS, ids=["to the later", "to the earlier"])
def test_a_file_that_moves_to_another_input_is_read_once(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[tuple[str, str]], Path], order: tuple[str, str]
) -> None:
    path = config(order)
    log, moved = tmp_path / "live" / "app.log", tmp_path / "kept" / "app.log"
    append(log, *LINES)
    with running(settings, path):
        until(lambda: sink.bodies() == LINES)
        log.rename(moved)
        append(tmp_path / "live" / "other.log", "a look has been")
        until(lambda: "a look has been" in sink.bodies())
        append(moved, "late")
        until(lambda: "late" in sink.bodies())
    assert sorted(sink.bodies()) == sorted([*LINES, "a look has been", "late"])


@pytest.mark.parametrize("order", ORDERS, ids=["to the later", "to the earlier"])
def test_a_copy_in_the_patterns_of_another_input_is_read_once(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[tuple[str, str]], Path], order: tuple[str, str]
) -> None:
    path = config(order)
    log, copy = tmp_path / "live" / "app.log", tmp_path / "kept" / "app.log-20261130"
    append(log, *LINES)
    with running(settings, path):
        until(lambda: sink.bodies() == LINES)
        shutil.copy(log, copy)
        os.truncate(log, 0)
        append(log, "after")
        until(lambda: "after" in sink.bodies())
        append(copy, "late")  # shows that the copy is followed
        until(lambda: "late" in sink.bodies())
    assert sink.bodies() == [*LINES, "after", "late"]
