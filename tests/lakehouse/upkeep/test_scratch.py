"""Scratch folders: gone with the work, or with the next sweep when their process was killed; never while it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.upkeep.scratch import scratch, sweep

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import sys
from pathlib import Path
from lakehouse.upkeep.scratch import scratch
with scratch(Path(sys.argv[1]), "work") as folder:
    (folder / "rows").write_text("private")
    print(folder, flush=True)
    sys.stdin.read()
"""


def folders(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "tmp").iterdir() if path.is_dir())


def test_a_folder_is_this_users_alone_and_gone_at_the_end_however_it_comes(tmp_path: Path) -> None:
    def work() -> None:
        with scratch(tmp_path, "work") as folder:
            (folder / "rows").write_text("private")
            assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path / "tmp", 0o700)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert folders(tmp_path) == []


def test_a_sweep_takes_what_a_killed_process_left_and_nothing_that_a_living_one_holds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with (
        scratch(tmp_path, "ours") as ours,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout is not None
        theirs = Path(child.stdout.readline().strip())
        assert (sweep(tmp_path), folders(tmp_path)) == ([], [ours.name, theirs.name])

        child.kill()
        child.wait()
        assert (theirs / "rows").exists()
        assert (sweep(tmp_path), folders(tmp_path)) == ([theirs.name], [ours.name])


def test_a_folder_whose_process_died_before_it_held_it_is_swept(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "work-1").mkdir(parents=True)

    assert (sweep(tmp_path), folders(tmp_path)) == (["work-1"], [])


def test_without_anything_laid_down_a_sweep_makes_nothing(tmp_path: Path) -> None:
    assert (sweep(tmp_path), list(tmp_path.iterdir())) == ([], [])
