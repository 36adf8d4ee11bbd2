from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.children import ROOT
from tests.headwater.processes import headwater

COMMANDS = ("up", "demo", "search", "status", "doctor", "agent", "keys")


def test_help_names_every_command(tmp_path: Path) -> None:
    done = headwater(tmp_path, "--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("words", [("up",), ("agent", "logs"), ("agent", "host"), ("keys", "create"), ("demo",)])
def test_every_command_explains_its_options(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = headwater(tmp_path, *words, "--help")
    assert done.returncode == 0
    assert "--" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    heavy = "('pydantic', 'httpx', 'pyarrow', 'deltalake', 'tantivy', 'bytewax', 'fastapi', 'psutil')"
    code = f"import headwater.__main__, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_setting_out_of_range_is_one_line_that_names_it(tmp_path: Path) -> None:
    done = headwater(tmp_path, "status", env={"HEADWATER_BUS_PARTITIONS": "0"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: HEADWATER_BUS_PARTITIONS")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = headwater(tmp_path, "--debug", "status", env={"HEADWATER_BUS_PARTITIONS": "0"})
    assert "Traceback" in done.stderr


def test_the_agent_names_what_is_missing_and_the_file_that_has_it(tmp_path: Path) -> None:
    done = headwater(tmp_path, "agent", "logs", "--path", "x.log")
    assert done.returncode == 2
    assert "HEADWATER_INGEST_URL and HEADWATER_API_KEY" in done.stderr
    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "default.env").write_text("HEADWATER_INGEST_KEY=x\n")
    done = headwater(tmp_path, "agent", "logs", "--path", "x.log", env={"HEADWATER_INGEST_URL": "http://127.0.0.1:1"})
    assert done.returncode == 2
    assert str(keys / "default.env") in done.stderr
    assert "HEADWATER_INGEST_URL and" not in done.stderr


def test_the_agent_with_nothing_to_read_says_so(tmp_path: Path) -> None:
    done = headwater(tmp_path, "agent", "logs")
    assert done.returncode == 2
    assert "--stdin" in done.stderr


def test_status_of_an_empty_folder_makes_nothing(tmp_path: Path) -> None:
    done = headwater(tmp_path, "status", "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 0
    assert "not running" in done.stdout
    assert not (tmp_path / "none").exists()
