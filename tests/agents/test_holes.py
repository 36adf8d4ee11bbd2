"""Holes: NULs that stand where a log was truncated under its writer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import read_status
from contracts.settings import Settings
from tests.agents.server import Sink
from tests.agents.test_run import running
from tests.waiting import until

Ship = Callable[..., int]
HOLE_BYTES = 4096


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize("size", [HOLE_BYTES, 300_001, 5 << 30, 1 << 40])
def test_a_writer_that_goes_on_at_its_old_place_after_a_truncation_is_read_on(
    sink: Sink, ship: Ship, settings: Settings, log: Path, size: int
) -> None:
    log.write_text("one\n")
    ship(log)
    with log.open("r+b") as writer:
        writer.truncate(0)
        writer.seek(size)
        writer.write(b"two\nthree\n")
    ship(log)
    assert sink.bodies() == ["one", "two", "three"]
    status = read_status(settings.agent_home / "logs")
    assert status
    assert status.nul_bytes == size


def test_nuls_that_are_stored_are_skipped_too(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes(bytes(3 << 20) + b"one\n" + bytes(HOLE_BYTES * 3))
    ship(log)
    with log.open("ab") as file:
        file.write(b"two\n")
    ship(log)
    assert sink.bodies() == ["one", "two"]


def test_a_hole_in_utf_16_keeps_the_characters_whole(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes("one\n".encode("utf-16") + bytes(HOLE_BYTES * 2) + "two\n".encode("utf-16-le"))
    ship(log)
    assert sink.bodies() == ["one", "two"]


@pytest.mark.parametrize("room", [1000, 1 << 20])
def test_a_file_that_was_laid_out_ahead_is_read_as_it_is_filled(
    sink: Sink, settings: Settings, log: Path, room: int
) -> None:
    log.write_bytes(bytes(room))
    with running(settings, log), log.open("r+b") as writer:
        for number in range(5):
            writer.write(f"line {number}\n".encode())
            writer.flush()
            os.fsync(writer.fileno())
            until(lambda: len(sink.bodies()) == number + 1)  # noqa: B023 - called at once
    assert sink.bodies() == [f"line {number}" for number in range(5)]
