from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from orchestration.holder import LOCK, hold
from tests.children import clean_environment
from tests.headwater.processes import output, started
from tests.waiting import until

HOLD = """import pathlib, time
from orchestration.holder import hold
hold(pathlib.Path('data'), 'u')
print('held', flush=True)
time.sleep(60)
"""


def test_a_second_process_on_a_data_folder_is_told_who_has_it(tmp_path: Path) -> None:
    with started(tmp_path, "-c", HOLD) as first:
        until(lambda: "held" in output(tmp_path), "the first one holding it")
        with pytest.raises(ConfigError, match=rf"run by another process \(pid {first.pid}, u\)"):
            hold(tmp_path / "data", "mine")
        first.kill()
        first.wait()
        hold(tmp_path / "data", "mine")
    hold(tmp_path / "data", "mine again")
    assert str(os.getpid()) in (tmp_path / "data" / "dagster" / LOCK).read_text()


def test_the_batch_tiers_started_by_hand_beside_others_end_with_one_line(tmp_path: Path) -> None:
    hold(tmp_path / "data", "http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-m", "orchestration"],
        env=clean_environment({"HEADWATER_DATA_DIR": str(tmp_path / "data"), "HEADWATER_DAGSTER_PORT": "0"}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"(pid {os.getpid()}, http://127.0.0.1:1)" in done.stderr
    assert "Traceback" not in done.stderr
