from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from headwater.demo import demo as demo_module
from headwater.demo.shop import Line
from headwater.demo.shop_files import ShopFiles
from tests.headwater.processes import headwater

SECONDS = 4.0


def test_the_demo_ends_by_itself_with_every_answer_right(tmp_path: Path) -> None:
    done = headwater(tmp_path, "demo", "--once", "--seconds", str(SECONDS), timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 10 answers are right" in done.stdout
    assert done.stdout.count("✓") == 10
    assert "stopped cleanly" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("visible", "in_flight", "behind", "done"), [(9, 0, 0, True), (5, 4, 0, False), (9, 0, 4, False), (8, 0, 0, False)]
)
def test_questions_wait_until_both_stores_have_every_line(
    visible: int, in_flight: int, behind: int, done: bool
) -> None:
    lag = {"hot": {"records": behind}, "lake": {"records": in_flight}}
    entry = {"received": visible + in_flight, "visible": visible, "in_flight": in_flight, "lag": lag}
    assert demo_module.settled(entry, total=9) is done


@pytest.mark.long
def test_one_line_written_twice_and_one_changed_make_the_demo_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = ShopFiles.write
    done: list[Line] = []

    def sabotaged(self: ShopFiles, lines: Iterable[Line]) -> None:
        lines = list(lines)
        for number, line in enumerate(lines):
            if line.service == "payment" and line.level == "error" and not done:
                done.append(line)
                lines[number] = dataclasses.replace(line, text=line.text.replace("error", "info"))
                lines.append(line)
                break
        write(self, lines)

    monkeypatch.setattr(ShopFiles, "write", sabotaged)
    assert demo_module.demo(once=True, port=0, seconds=SECONDS, seed=3) == 1
    assert done
    assert "answers are wrong" in capsys.readouterr().out
