"""Copies made by `copytruncate`: each line once, under any name; files that only look alike are both read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import copies
from agents.copies import is_rotated_name
from agents.journal import Journal
from agents.lines import Limits, Origin
from agents.sources import Source
from agents.tail import Tail
from contracts.settings import Settings
from tests.agents.conftest import fast_settings
from tests.agents.server import Sink
from tests.agents.test_run import running
from tests.agents.test_tail import append
from tests.waiting import until

Ship = Callable[..., int]
MANY = [f"line {i} of the first file" for i in range(100)]
FEW = ["started v1"]
LIMITS = Limits(records=1000, bytes=1 << 20, line_bytes=1 << 18)
UNRELATED = "kept/2026-11-30.txt"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs" / "kept").mkdir(parents=True)
    return tmp_path / "logs" / "app.log"


@pytest.fixture
def globs(log: Path) -> Path:
    return log.parent / "**" / "*"


@pytest.fixture
def truncations(capsys: pytest.CaptureFixture[str]) -> Callable[[], int]:
    """The number of truncations and replacements that the agent has noticed."""
    noticed = [0]

    def count() -> int:
        lines = capsys.readouterr().err.splitlines()
        noticed[0] += sum("truncated or replaced" in line and '"app.log.old' not in line for line in lines)
        return noticed[0]

    return count


@pytest.mark.parametrize("lines", [MANY, FEW], ids=["many", "few"])
@pytest.mark.parametrize("name", ["app.log.1", "app-20261130.log", "kept/app.log-20261130", "app.log.old", UNRELATED])
@pytest.mark.parametrize("keep", [shutil.copy, shutil.copy2], ids=["cp", "cp -p"])
def test_a_copy_in_any_folder_under_any_name_is_read_once(
    sink: Sink, settings: Settings, log: Path, globs: Path, lines: list[str], name: str, keep: Callable[..., object]
) -> None:
    append(log, *lines)
    with running(settings, globs):
        until(lambda: sink.bodies() == lines)
        keep(log, log.parent / name)
        os.truncate(log, 0)
        append(log, "after")
        until(lambda: len(sink.bodies()) > len(lines))
        append(log.parent / name, "late")  # shows that the copy is followed
        until(lambda: sorted(sink.bodies()[len(lines) :]) == ["after", "late"])


def test_a_copy_whose_original_is_truncated_while_both_are_compared_is_read_once(
    sink: Sink, settings: Settings, log: Path, globs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, compared = copies._same_samples, list[bool]()

    def truncate_first(copy: Source, original: Source, size: int) -> bool:
        if not compared:
            os.truncate(log, 0)
        compared.append(compare(copy, original, size))
        return compared[-1]

    monkeypatch.setattr(copies, "_same_samples", truncate_first)
    append(log, *FEW)
    with running(settings, globs):
        until(lambda: sink.bodies() == FEW)
        shutil.copy2(log, log.parent / UNRELATED)
        until(lambda: compared)
        append(log, "after")
        until(lambda: len(sink.bodies()) > len(FEW))
        append(log.parent / UNRELATED, "late")  # shows that the copy is followed
        until(lambda: "late" in sink.bodies())
    assert sorted(sink.bodies()) == sorted([*FEW, "after", "late"])
    assert compared[0] is False


@pytest.mark.parametrize("lines", [MANY, FEW], ids=["many", "few"])
def test_a_copy_is_left_unread_until_its_original_is_truncated(
    sink: Sink, settings: Settings, log: Path, globs: Path, lines: list[str]
) -> None:
    append(log, *lines)
    with running(settings, globs):
        until(lambda: sink.bodies() == lines)
        shutil.copy(log, log.parent / UNRELATED)
        append(log, "after the copy")
        append(log.parent / "mark.txt", "mark")
        until(lambda: sorted(sink.bodies()[len(lines) :]) == ["after the copy", "mark"])
        os.truncate(log, 0)
        append(log, "new")
        until(lambda: "new" in sink.bodies())
        append(log.parent / UNRELATED, "late")
        until(lambda: "late" in sink.bodies())
    assert len(sink.bodies()) == len(lines) + 4


@pytest.mark.parametrize("lines", [MANY, FEW], ids=["many", "few"])
def test_a_copy_made_while_the_agent_was_away_gives_only_what_was_not_read(
    sink: Sink, ship: Ship, log: Path, globs: Path, lines: list[str]
) -> None:
    append(log, *lines)
    ship(globs)
    append(log, "while away")
    shutil.copy(log, log.with_name("app.log-20261130"))
    os.truncate(log, 0)
    append(log, "after")
    ship(globs)
    ship(globs)
    assert sorted(sink.bodies()[len(lines) :]) == ["after", "while away"]


def test_a_copy_stays_known_after_its_original_was_truncated_again(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, *MANY)
    ship(log.with_name("app.log*"))
    for generation in range(3):
        shutil.copy(log, log.with_name(f"app.log.{generation}"))
        os.truncate(log, 0)
        append(log, *(f"generation {generation} line {i}" for i in range(100)))
        ship(log.with_name("app.log*"))
    assert len(sink.bodies()) == len(set(sink.bodies())) == 400


def test_a_copy_over_the_copy_of_before_is_read_once(
    sink: Sink, settings: Settings, log: Path, globs: Path, truncations: Callable[[], int]
) -> None:
    with running(settings, globs):
        for number in range(3):
            append(log, f"started {'again ' * number}")
            until(lambda: len(sink.bodies()) == number + 1)  # noqa: B023 - called at once
            shutil.copyfile(log, log.with_name("app.log.old"))
            os.truncate(log, 0)
            until(lambda: truncations() > number)  # noqa: B023 - called at once
        append(log, "last")
        until(lambda: "last" in sink.bodies())
    assert sink.bodies() == ["started ", "started again ", "started again again ", "last"]


def test_a_copy_that_grows_while_the_agent_looks_is_read_once(
    sink: Sink, settings: Settings, log: Path, globs: Path
) -> None:
    append(log, *MANY)
    data = log.read_bytes()
    with running(settings, globs):
        until(lambda: sink.bodies() == MANY)
        for begin in range(0, len(data), 500):
            with (log.parent / UNRELATED).open("ab") as copy:
                copy.write(data[begin : begin + 500])
            time.sleep(0.02)
        os.truncate(log, 0)
        append(log, "new")
        until(lambda: "new" in sink.bodies())
        append(log.parent / UNRELATED, "late")
        until(lambda: "late" in sink.bodies())
    assert sink.bodies() == [*MANY, "new", "late"]


def test_a_log_that_is_truncated_between_the_reads_of_one_round_is_read_once(log: Path, globs: Path) -> None:
    sent: list[str] = []

    def turn(now_s: float, after_a_read: Callable[[], object] = list) -> None:
        tail.look(now_s)
        tail.judge(time.time_ns())
        taken = []
        for follower, read in tail.takes(now_s, time.time_ns()):
            taken.append((follower, read))
            sent.extend(json.loads(line)["body"] for part in read.parts for line in part.payload.splitlines())
            after_a_read()
        for follower, read in taken:
            follower.commit(read)

    tail = Tail([str(globs)], Origin("", "", "", {}), LIMITS, 1.0, {}, Journal("test", "error"))
    append(log, *MANY)
    turn(0.0)
    shutil.copy(log, log.with_name("app.log.1"))
    turn(1.0)
    append(log, "new")
    shutil.copy(log, log.with_name("app.log.1"))
    turn(2.0, after_a_read=lambda: os.truncate(log, 0))
    for number in range(3, 6):
        turn(number)
    tail.close()
    assert sent == [*MANY, "new"]


def test_two_services_that_begin_alike_are_both_read(sink: Sink, log: Path, tmp_path: Path, globs: Path) -> None:
    settings = fast_settings(sink.url, tmp_path / "agent", agent_copy_wait_s=0.3)
    with running(settings, globs):
        append(log, *FEW)
        until(lambda: sink.bodies() == FEW)
        append(log.with_name("web.log"), *FEW)
        until(lambda: sink.bodies() == FEW * 2)
        append(log.with_name("web.log"), "on")
        append(log, "on")
        until(lambda: sink.bodies() == [*FEW * 2, "on", "on"])


def test_services_that_were_truncated_together_and_begin_alike_again_are_all_read(
    sink: Sink, log: Path, tmp_path: Path, globs: Path, truncations: Callable[[], int]
) -> None:
    settings = fast_settings(sink.url, tmp_path / "agent", agent_copy_wait_s=0.3)
    services = [log.with_name(f"{name}.log") for name in ("app", "web", "db")]
    for path in services:
        append(path, *FEW)
    with running(settings, globs):
        until(lambda: sink.bodies() == FEW * 3)
        for path in services:
            os.truncate(path, 0)
        until(lambda: truncations() == 3)
        for path in services:
            append(path, *FEW)
        until(lambda: sink.bodies() == FEW * 6)


def test_a_copy_whose_original_stays_is_read_as_a_file_of_its_own(
    sink: Sink, log: Path, tmp_path: Path, globs: Path
) -> None:
    settings = fast_settings(sink.url, tmp_path / "agent", agent_copy_wait_s=0.3)
    append(log, *MANY)
    with running(settings, globs):
        until(lambda: sink.bodies() == MANY)
        shutil.copy(log, log.parent / UNRELATED)
        until(lambda: sink.bodies() == MANY * 2)


def test_a_file_moved_to_another_file_system_goes_on_where_it_stood(
    sink: Sink, ship: Ship, log: Path, globs: Path
) -> None:
    append(log, *MANY)
    ship(globs)
    append(log, "not read yet")
    shutil.copy2(log, log.parent / UNRELATED)
    log.unlink()
    ship(globs)
    assert sink.bodies() == [*MANY, "not read yet"]


def test_lines_that_were_truncated_unread_are_read_from_a_copy_that_no_pattern_matches(
    sink: Sink, ship: Ship, log: Path
) -> None:
    append(log, *MANY)
    append(log.with_name("app.log.0"), "another old copy")
    ship(log)
    append(log, "not read yet")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "new")
    for _ in range(2):
        ship(log)
    assert sorted(sink.bodies()[len(MANY) :]) == ["new", "not read yet"]


@pytest.mark.parametrize(
    ("name", "rotated"),
    [
        ("app.log.1", True),
        ("app.log-20261130", True),
        ("app-2026-11-30.log", True),
        ("app.log.old", True),
        ("app.old.log", True),
        ("app_backup_2.log", True),
        ("app-20261130T194007Z.log", True),
        ("app-worker.log", False),
        ("web.log", False),
        ("application.log", False),
        ("app.log.gz.tmp", False),
    ],
)
def test_a_rotated_name_is_known_from_a_name_of_another_service(name: str, rotated: bool) -> None:
    assert is_rotated_name(f"/elsewhere/{name}", "/var/log/app.log") is rotated


@pytest.mark.long
def test_each_line_of_the_case_of_logrotate_arrives_once(sink: Sink, tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[3] / "shared/cases/lines/copytruncate.sh"
    if not script.exists():
        pytest.skip("the cases are not there")
    settings = fast_settings(sink.url, tmp_path / "agent", agent_poll_s=0.25)
    folder = tmp_path / "d"
    globs = [folder / "a/*.log", folder / "b/**/*.log*", folder / "c/app.log*", folder / "d/app.log*"]
    with running(settings, *globs):
        subprocess.run(["sh", script, folder], check=True)
        until(lambda: "started v2" in sink.bodies())
    assert len(sink.bodies()) == 503 + 503 + 8 + 2
