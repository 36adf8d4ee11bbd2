"""Nothing is read twice and nothing is lost over SIGKILL at any instant; each sabotage is seen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.agents.crash import (  # fmt: skip
    FEW_DESCRIPTORS,
    SOON,
    Compressing,
    CopyTruncating,
    ManyFiles,
    Misbehaving,
    Traces,
    Writer,
    crash,
    faults,
    start,
    until_seen,
)
from tests.agents.journalctl import FakeJournal
from tests.agents.sabotaged import CUTTING, SABOTAGES
from tests.agents.server import Sink


@pytest.mark.parametrize("seed", [1, 2])
def test_every_line_arrives_exactly_once_over_kills_rotations_and_lost_answers(tmp_path: Path, seed: int) -> None:
    assert crash(tmp_path, seed, kills=6) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_every_trace_and_every_line_in_pieces_arrives_once_and_whole_over_kills(tmp_path: Path, seed: int) -> None:
    assert crash(tmp_path, seed, kills=6, writes=Traces) == []


def test_every_entry_of_the_journal_arrives_exactly_once_over_kills(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("of a file\n")
    sink = Sink(Misbehaving(3))
    config = tmp_path / "agent.toml"
    config.write_text(f'[[logs]]\npath = ["{tmp_path}/logs/*"]\n[[journald]]\n')
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    written = ["of a file"]
    try:
        for turn in range(5):
            texts = [f"{turn} {number}" for number in range(300)]
            journal.write(*texts)
            written += texts
            before = len(sink.requests)
            process = start(tmp_path, sink.url, "", command=("run", "--config", str(config)), **path)
            until_seen(sink, before, process)
            time.sleep(0.03 * turn)
            process.kill()
            process.wait()
        options = ("run", "--config", str(config), "--exit-when-idle")
        last = start(tmp_path, sink.url, "", command=options, **path, **SOON)
        assert last.wait(60) == 0, (tmp_path / "agent.txt").read_text()[-2000:]
        assert faults(written, sink) == []
    finally:
        sink.close()


def test_every_line_of_more_files_than_descriptors_arrives_exactly_once_over_kills(tmp_path: Path) -> None:
    assert crash(tmp_path, 3, kills=4, writes=ManyFiles, **FEW_DESCRIPTORS) == []


@pytest.mark.parametrize("writes", [Compressing, CopyTruncating])
def test_every_line_of_logs_that_are_compressed_arrives_exactly_once_over_kills(
    tmp_path: Path, writes: type[Writer]
) -> None:
    assert crash(tmp_path, 4, kills=4, writes=writes) == []


@pytest.mark.long
def test_a_record_that_ends_with_the_read_is_seen(tmp_path: Path) -> None:
    assert any(crash(tmp_path / str(seed), seed, 4, CUTTING, writes=Traces) for seed in range(1, 6))


@pytest.mark.long
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_decision_is_seen(tmp_path: Path, sabotage: str) -> None:
    for seed in range(1, 6):
        if crash(tmp_path / str(seed), seed, kills=4, sabotage=sabotage):
            return
    pytest.fail(f"{sabotage} went unnoticed")
