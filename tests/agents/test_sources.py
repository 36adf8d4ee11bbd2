"""Sources: more files than descriptors are all read, also when they are renamed while they are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.sources import FEWEST, OpenFiles, PlainFile
from agents.tail import Tail
from contracts.settings import Settings
from tests.agents.conftest import fast_settings
from tests.agents.server import Sink
from tests.agents.test_run import running
from tests.agents.test_tail import append
from tests.children import ROOT
from tests.waiting import until

Ship = Callable[..., int]


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    (tmp_path / "logs").mkdir()
    return [tmp_path / "logs" / f"{number:03}.log" for number in range(40)]


@pytest.fixture
def settings(sink: Sink, tmp_path: Path) -> Settings:
    return fast_settings(sink.url, tmp_path / "agent", agent_open_files=FEWEST)


def opened(path: Path, files: OpenFiles) -> PlainFile:
    path.write_text(path.name)
    return PlainFile(files, str(path), files.open(str(path)))


def test_the_file_that_was_read_longest_ago_is_closed_first(logs: list[Path]) -> None:
    files = OpenFiles(FEWEST)
    several = [opened(path, files) for path in logs[:FEWEST]]
    several[0].read_at(1, 0)
    last = opened(logs[FEWEST], files)
    assert [file.is_open() for file in several] == [True, False, *[True] * (FEWEST - 2)]
    assert several[1].size() == 7
    assert several[1].read_at(3, 0) == b"001"
    assert len(files) == FEWEST
    for file in (*several, last):
        file.close()
    assert len(files) == 0


def test_a_closed_file_is_found_under_its_new_name_and_no_other_file_is_taken_for_it(logs: list[Path]) -> None:
    files = OpenFiles(FEWEST)
    file = opened(logs[0], files)
    file.close()
    logs[0].rename(logs[0].with_name("000.log.1"))
    logs[0].write_text("another")
    assert file.read_at(9, 0) == b"000.log"
    file.close()
    logs[0].with_name("000.log.1").unlink()
    with pytest.raises(FileNotFoundError):
        file.read_at(9, 0)
    assert not file.look()


def test_a_deleted_file_stays_open_while_others_are_closed(logs: list[Path]) -> None:
    files = OpenFiles(FEWEST)
    deleted = opened(logs[0], files)
    logs[0].unlink()
    several = [opened(path, files) for path in logs[1:]]
    assert deleted.is_open()
    assert deleted.read_at(9, 0) == b"000.log"
    for file in (deleted, *several):
        file.close()


def test_all_of_more_files_than_descriptors_are_read_in_turn(
    sink: Sink, settings: Settings, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    honest = Tail.takes

    def counted(self: Tail, *times: float) -> object:
        yield from honest(self, *times)  # type: ignore[arg-type]  # passed on as they came
        held.append(len(self._open_files))

    monkeypatch.setattr(Tail, "takes", counted)
    with running(settings, logs[0].with_name("*.log*")):
        for round_ in range(3):
            for path in logs:
                append(path, f"{path.name} {round_}")
            for path in logs[::5]:
                path.rename(path.with_suffix(f".log.{round_}"))
            until(lambda: len(sink.bodies()) == (round_ + 1) * len(logs))  # noqa: B023 - called at once
    assert len(set(sink.bodies())) == 3 * len(logs)
    assert max(held) == FEWEST


def test_a_file_that_leaves_the_patterns_while_it_is_closed_is_read_to_its_end(
    sink: Sink, settings: Settings, logs: list[Path]
) -> None:
    for path in logs:
        append(path, path.name)
    with running(settings, logs[0].with_name("*.log")):
        until(lambda: len(sink.bodies()) == len(logs))
        for path in logs:
            append(path, f"{path.name} last")
            path.rename(path.with_suffix(".old"))
        until(lambda: len(sink.bodies()) == 2 * len(logs))


def test_300_files_are_read_under_a_limit_of_256_descriptors(sink: Sink, tmp_path: Path) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(300)]
    for path in logs:
        append(path, path.name)
    command = [sys.executable, "-m", "agents", "logs", "--path", str(tmp_path / "*.log*"), "--exit-when-idle"]
    environment = {"HEADWATER_INGEST_URL": sink.url, "HEADWATER_API_KEY": "k", "HEADWATER_AGENT_DIR": str(tmp_path)}
    for number in range(2):
        limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *command]
        done = subprocess.run(limited, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Too many open files" not in done.stderr
        assert len(sink.bodies()) == len(set(sink.bodies())) == 300 * (number + 1)
        for path in logs:
            append(path, f"{path.name} again")
            path.rename(path.with_suffix(".log.1"))
