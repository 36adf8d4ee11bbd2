from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from headwater.running import Running, hold, running
from tests.headwater.processes import output, started
from tests.waiting import until


def test_a_folder_is_held_by_one_and_the_other_is_told_who_it_is(tmp_path: Path) -> None:
    descriptor = hold(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=rf"pid {os.getpid()}, http://127.0.0.1:1") as refused:
        hold(tmp_path, "http://127.0.0.1:2", patience_s=0)
    assert f"kill {os.getpid()}" in refused.value.hint
    assert running(tmp_path) == Running(os.getpid(), "http://127.0.0.1:1")
    os.close(descriptor)


def test_a_folder_that_was_let_go_runs_no_more_and_can_be_held_again(tmp_path: Path) -> None:
    os.close(hold(tmp_path, "http://127.0.0.1:1"))
    assert running(tmp_path) is None
    os.close(hold(tmp_path, "http://127.0.0.1:3", patience_s=0))


def test_an_empty_or_missing_folder_is_not_running(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    assert running(tmp_path / "none") is None


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from headwater.running import hold; hold(pathlib.Path(), 'u'); print('held', flush=True)"
    )
    code += "; time.sleep(60)"
    with started(tmp_path, "-c", code) as process:
        until(lambda: "held" in output(tmp_path), "the lock being held")
        assert running(tmp_path) == Running(process.pid, "u")
        process.kill()
        process.wait()
        assert running(tmp_path) is None
