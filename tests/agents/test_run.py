"""The agent as a whole: files and standard input -> requests that a real HTTP server has seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import read_status, run_logs
from agents.frames import scan
from agents.home import Home
from agents.tail import ALL_FILES, FileOptions
from contracts.errors import ConfigError
from contracts.settings import Settings
from tests.agents.conftest import fast_settings
from tests.agents.server import Reply, Sink
from tests.children import ROOT
from tests.waiting import until

Ship = Callable[..., int]


@contextmanager
def running(settings: Settings, *paths: Path, files: FileOptions = ALL_FILES) -> Iterator[None]:
    """An agent in a thread for as long as the block lasts."""
    stop = threading.Event()
    options = {"service": "shop", "stop": stop, "files": files}
    thread = threading.Thread(target=run_logs, args=(settings, [str(path) for path in paths]), kwargs=options)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def command(settings: Settings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agents", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "HEADWATER_INGEST_URL": settings.ingest_url,
            "HEADWATER_API_KEY": "k",
            "HEADWATER_AGENT_DIR": str(settings.agent_home),
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_lines_of_a_file_arrive_in_order_with_the_names_of_their_origin(sink: Sink, ship: Ship, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\r\n\nthree\n")

    assert ship(log) == 0

    assert sink.bodies() == ["one", "two", "three"]
    record = sink.taken[0].records()[0]
    assert isinstance(record.pop("observed_timestamp"), int)
    assert record == {
        "body": "one",
        "service": "shop",
        "env": "test",
        "host": "h1",
        "observed_timezone": "Asia/Kolkata",
        "attributes": {"log.file.name": "app.log", "log.file.path": str(log)},
    }


def test_new_files_growth_rename_truncation_and_deletion_are_seen_while_running(
    sink: Sink, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    with running(settings, tmp_path / "*.log"):
        log.write_text("one\n")
        until(lambda: sink.bodies() == ["one"])
        with log.open("a") as held:
            log.rename(tmp_path / "app.1").rename(tmp_path / "app.2")
            log.write_text("new\n")
            until(lambda: "new" in sink.bodies())
            held.write("late\n")
            held.flush()
            until(lambda: "late" in sink.bodies())
            (tmp_path / "app.2").unlink()
            held.write("last\n")
            held.flush()
            until(lambda: "last" in sink.bodies())
        os.truncate(log, 0)
        until(lambda: (status := read_status(settings.agent_home / "logs")) is not None and status.files > 0)
        log.write_text("1\n")
        until(lambda: "1" in sink.bodies())
    assert sorted(sink.bodies()) == ["1", "last", "late", "new", "one"]


def test_a_file_that_cannot_be_read_is_said_and_read_once_it_can(
    sink: Sink, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, loop = tmp_path / "app.log", tmp_path / "loop.log"
    log.write_text("one\n")
    loop.symlink_to(loop)
    with running(settings, tmp_path / "*.log"):
        until(lambda: sink.bodies() == ["one"])
        loop.unlink()
        loop.write_text("two\n")
        until(lambda: "two" in sink.bodies())
    assert "will retry" in capsys.readouterr().err


def test_a_glob_that_matches_nothing_yet_is_said(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship(tmp_path / "none*") == 0
    assert "no file matches yet" in capsys.readouterr().err


def test_a_full_buffer_stops_reading_and_loses_nothing(sink: Sink, tmp_path: Path) -> None:
    settings = fast_settings(sink.url, tmp_path / "agent", agent_buffer_mib=1)
    log = tmp_path / "app.log"
    lines = [f"{number} " + "x" * 500 for number in range(6000)]
    log.write_text("".join(f"{line}\n" for line in lines))
    sink.behaviour = lambda request, number: Reply(503, store=False)
    with running(settings, log):
        until(lambda: "is full: 1 MiB" in _last_error(settings))
    status = read_status(settings.agent_home / "logs")
    assert status
    assert 0 < status.read_lines < len(lines)
    sink.behaviour = lambda request, number: Reply()
    assert run_logs(settings, [str(log)], until_idle=True) == 0
    assert sink.bodies() == lines


def test_many_files_with_much_to_read_are_stored_in_frames_of_bounded_size(
    sink: Sink, settings: Settings, tmp_path: Path
) -> None:
    for number in range(30):
        (tmp_path / f"{number}.log").write_text(f"{number} {'x' * 990}\n" * 300)
    (tmp_path / "short.log").write_text("a\n" * 20_000)
    sink.behaviour = lambda request, number: Reply(503, store=False)
    with running(settings, tmp_path / "*.log"):
        until(lambda: (status := read_status(settings.agent_home / "logs")) is not None and status.read_lines == 29_000)
    frames = [found for path in (settings.agent_home / "logs").glob("*.segment") for found in scan(path.read_bytes())]
    assert sum(frame.note.count for frame in frames if frame.note) == 29_000
    assert max(frame.end - frame.begin for frame in frames) < 2 << 20


def _last_error(settings: Settings) -> str:
    status = read_status(settings.agent_home / "logs")
    return status.last_error if status else ""


def test_standard_input_is_shipped_to_its_end(sink: Sink, settings: Settings) -> None:
    process = command(settings, "logs", "--stdin", "--service", "piped")
    _, errors = process.communicate("one\ntwo\nno newline", timeout=20)
    assert process.returncode == 0, errors
    assert sink.bodies() == ["one", "two", "no newline"]
    records = sink.taken[0].records()
    assert records[0]["attributes"] == {"log.iostream": "stdin"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_everything_read_kept(
    sink: Sink, settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\n")
    sink.behaviour = lambda request, number: Reply(503, store=False)
    process = command(settings, "logs", "--path", str(log))
    until(lambda: bool(sink.requests))
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 0, errors
    status = read_status(settings.agent_home / "logs")
    assert status
    assert (status.state, status.buffered_records, status.read_lines) == ("stopped", 1, 1)


def test_status_prints_the_counters(ship: Ship, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("one\n")
    ship(tmp_path / "app.log")
    output, _ = command(settings, "status").communicate(timeout=20)
    assert '"sent_records": 1' in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ingest_url": ""}, "HEADWATER_INGEST_URL is not set"),
        ({"ingest_url": "ftp://x"}, "not an http"),
        ({"ingest_url": "http://[x"}, "not an http"),
        ({"api_key": ""}, "HEADWATER_API_KEY is empty"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_made(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    settings = fast_settings("http://127.0.0.1:1", tmp_path / "agent", **change)
    with pytest.raises(ConfigError, match=message):
        run_logs(settings, ["x"])
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        run_logs(settings, ["x"], name=name)


def test_nothing_to_read_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="has no source"):
        run_logs(settings, [])


def test_a_second_agent_on_the_same_folder_ends_with_a_clear_message(settings: Settings) -> None:
    home = Home(settings.agent_home / "logs")
    process = command(settings, "logs", "--path", "x")
    _, errors = process.communicate(timeout=20)
    home.close()
    assert process.returncode == 2
    assert "is in use by process" in errors
