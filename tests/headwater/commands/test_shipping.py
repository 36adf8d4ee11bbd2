from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agents import Status, read_status
from tests.headwater.processes import headwater, output, started
from tests.waiting import until

NOBODY = {"HEADWATER_INGEST_URL": "http://127.0.0.1:9", "HEADWATER_API_KEY": "none"}


def status_of(folder: Path, name: str) -> Status:
    found: Status = until(lambda: read_status(folder / "data" / "agent" / name), "the agent's first account")
    return found


def three_files(folder: Path) -> list[str]:
    names = ["a.log", "b.log", "c.log"]
    for name in names:
        (folder / name).write_text("one line\n")
    return names


@pytest.mark.parametrize("words", [("-m", "headwater", "agent", "logs"), ("-m", "agents", "logs")])
def test_words_that_a_shell_made_of_a_glob_are_all_tailed(tmp_path: Path, words: tuple[str, ...]) -> None:
    with started(tmp_path, *words, "--path", *three_files(tmp_path), "--service", "shop", env=NOBODY):
        until(lambda: status_of(tmp_path, "logs").files == 3, "three files being tailed")
        until(lambda: status_of(tmp_path, "logs").buffered_records == 3, "their lines being read")


def test_options_may_stand_before_between_and_after_the_words(tmp_path: Path) -> None:
    a, b, c = three_files(tmp_path)
    words = ("agent", "logs", "--env", "x", "--path", a, b, "--service", "shop", "--path", c)
    with started(tmp_path, "-m", "headwater", *words, env=NOBODY):
        until(lambda: status_of(tmp_path, "logs").files == 3, "three files being tailed")


def test_a_misspelt_option_is_named_and_no_file_is_taken_for_it(tmp_path: Path) -> None:
    done = headwater(tmp_path, "agent", "logs", "--path", "a.log", "--servce", "shop", env=NOBODY)
    assert done.returncode == 2
    assert "--servce" in done.stderr
    assert "--service" in done.stderr
    assert not (tmp_path / "data").exists()


def test_words_without_the_option_they_belong_to_are_refused(tmp_path: Path) -> None:
    done = headwater(tmp_path, "agent", "logs", "a.log", env=NOBODY)
    assert done.returncode == 2
    assert "--path" in done.stderr
    assert not (tmp_path / "data").exists()


def impatiently_stopped(process: subprocess.Popen[bytes]) -> int:
    """The return code of a process that is sent SIGTERM until it is gone."""
    deadline = time.monotonic() + 15
    while process.poll() is None and time.monotonic() < deadline:
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.002)
    return process.wait(1)


@pytest.mark.parametrize("name", ["logs", "host"])
@pytest.mark.parametrize("program", ["headwater agent", "agents"])
def test_an_agent_that_is_told_to_stop_again_and_again_still_ends_well(tmp_path: Path, name: str, program: str) -> None:
    (tmp_path / "a.log").write_text("one line\n")
    reads = ("--path", "a.log") if name == "logs" else ("--interval", "1")
    with started(tmp_path, "-m", *program.split(), name, *reads, env=NOBODY) as process:
        until(lambda: status_of(tmp_path, name).buffered_records > 0, "something being read")
        assert impatiently_stopped(process) == 0, output(tmp_path)
    assert status_of(tmp_path, name).state == "stopped"
