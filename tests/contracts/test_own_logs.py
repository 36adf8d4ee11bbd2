"""Lines of our own logs: one JSON object each, whatever is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.own_logs import configure, event, line

NAME = "headwater.test_own_logs"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    configure("info", only={NAME: logging.DEBUG})
    logger = logging.getLogger(NAME)
    yield logger
    logger.handlers, logger.propagate = [], True


def test_a_message_and_an_event_are_told_apart_by_their_keys(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.warning("the bus is away: %s", "refused")
    event(log, logging.INFO, "request", {"status": 202, "path": Path("/logs")})
    log.debug("below the level")
    said, happened = map(json.loads, capsys.readouterr().err.splitlines())

    assert {**said, "time": ""} == {
        "time": "",
        "level": "warning",
        "logger": NAME,
        "message": "the bus is away: refused",
    }
    assert {**happened, "time": ""} == {
        "time": "",
        "level": "info",
        "logger": NAME,
        "event": "request",
        "status": 202,
        "path": "/logs",
    }


def test_an_exception_is_one_line_without_the_values_of_variables(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "".join(["hw_", "secret"])
    try:
        raise ValueError(f"{len(key)} bytes")
    except ValueError:
        event(log, logging.ERROR, "unexpected_error", {}, exception=True)
    text = capsys.readouterr().err

    assert "ValueError: 9 bytes" in json.loads(text)["exception"]
    assert key not in text
    assert text.count("\n") == 1


def test_half_a_character_is_written_as_an_escape_and_ends_no_process() -> None:
    told = json.loads(line("info", {"path": "/\ud800"}, at_s=0.0))

    assert told == {"time": "1970-01-01T00:00:00.000Z", "level": "info", "path": "/\ud800"}
