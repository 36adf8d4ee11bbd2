"""Which files the agent reads, and where it begins in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.tail import FileOptions
from contracts.settings import Settings
from tests.agents.server import Sink
from tests.agents.test_run import command, running
from tests.waiting import until

Ship = Callable[..., int]
END = FileOptions(begin="end")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "app.log"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_excluded_files_are_not_read(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one\n")
    append(log.with_name("app.debug.log"), "two\n")
    ship(log.with_name("*.log"), files=FileOptions(exclude=("*.debug.*",)))
    assert sink.bodies() == ["one"]


def test_a_file_that_is_renamed_to_an_excluded_name_is_read_to_its_end(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one\n")
    files = FileOptions(exclude=("*.1",))
    ship(log.with_name("app*"), files=files)
    append(log, "two\n")
    log.rename(log.with_name("app.log.1"))
    ship(log.with_name("app*"), files=files)
    assert sink.bodies() == ["one", "two"]


def test_from_end_skips_what_stands_there_but_an_unfinished_line(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "old\nbeg")
    ship(log, files=END)
    append(log, "un\nnew\n")
    ship(log, files=END)
    assert sink.bodies() == ["beg", "un", "new"]


def test_from_end_reads_files_that_come_later_from_their_start_also_after_a_restart(
    sink: Sink, ship: Ship, log: Path
) -> None:
    append(log, "old\n")
    ship(log.with_name("*.log*"), files=END)
    append(log, "while away\n")
    log.rename(log.with_name("app.log.1"))
    append(log, "rotated\n")
    append(log.with_name("other.log"), "appeared\n")
    ship(log.with_name("*.log*"), files=END)
    assert sorted(sink.bodies()) == ["appeared", "rotated", "while away"]


def test_from_end_reads_a_file_that_came_while_the_agent_was_away_if_none_matched_before(
    sink: Sink, ship: Ship, log: Path
) -> None:
    ship(log, files=END)
    append(log, "one\n")
    ship(log, files=END)
    assert sink.bodies() == ["one"]


def test_from_end_skips_the_lines_of_a_pattern_that_was_added(sink: Sink, ship: Ship, log: Path) -> None:
    other = log.with_name("other.log")
    append(log, "one\n")
    append(other, "old\n")
    ship(log)
    append(log, "two\n")
    ship(log, other, files=END)
    append(other, "new\n")
    ship(log, other, files=END)
    assert sink.bodies() == ["one", "two", "new"]


def test_from_end_holds_for_a_file_that_appears_while_the_agent_runs(sink: Sink, settings: Settings, log: Path) -> None:
    append(log, "old\n")
    with running(settings, log.with_name("*.log"), files=END):
        until(lambda: (settings.agent_home / "logs" / "status.json").exists())
        append(log, "new\n")
        append(log.with_name("late.log"), "late\n")
        until(lambda: sorted(sink.bodies()) == ["late", "new"])


def test_the_options_are_those_of_the_command(sink: Sink, settings: Settings, log: Path) -> None:
    append(log, "old\n")
    append(log.with_name("app.tmp"), "no\n")
    files = ["--path", str(log.with_name("app.{log,tmp}")), "--exclude", "*.tmp", "--from", "end"]
    for _ in range(2):
        process = command(settings, "logs", *files, "--exit-when-idle")
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        append(log, "new\n")
    assert sink.bodies() == ["new"]
