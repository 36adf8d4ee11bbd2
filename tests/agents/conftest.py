"""Fixtures: a sink that records requests, settings for fast agents, and an agent that runs until it has delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents import run_logs
from agents.tail import ALL_FILES, FileOptions
from contracts.settings import Settings, load_settings
from tests.agents.server import Sink

ZONE = "Asia/Kolkata"  # no machine of ours is there


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def settings(sink: Sink, tmp_path: Path) -> Settings:
    return fast_settings(sink.url, tmp_path / "agent")


def fast_settings(url: str, folder: Path, **overrides: object) -> Settings:
    values: dict[str, object] = {
        "ingest_url": url,
        "api_key": "test-key",
        "agent_dir": folder,
        "agent_poll_s": 0.01,
        "agent_batch_wait_s": 0.01,
        "agent_partial_line_s": 0.05,
        "agent_multiline_s": 0.05,
        "agent_retry_max_s": 0.02,
        "agent_timeout_s": 5,
        "_env_file": None,
    }
    return load_settings(**(values | overrides))


@pytest.fixture
def ship(settings: Settings) -> Callable[..., int]:
    """Run a log agent over globs until everything is read and acknowledged."""

    def run(*paths: Path, files: FileOptions = ALL_FILES, **changes: object) -> int:
        used = settings.model_copy(update=changes)
        globs = [str(path) for path in paths]
        about = ("shop", "test", "h1", "logs", True)
        return run_logs(used, globs, False, *about, files=files, timezone=ZONE)

    return run
