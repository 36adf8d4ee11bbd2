"""The adapters of the port `contracts.bus.Bus` that its contract is checked on; another one is an entry of ADAPTERS."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bus import open_bus
from contracts.bus import Bus
from contracts.messages import Message
from contracts.settings import Settings, load_settings
from tests.real.kafka_topics import delete


@dataclass(frozen=True)
class Adapter:
    """`url` gives each test its own bus, or "" when the engine is not there. `trims`: retention is ours to apply.
    `lose` removes a topic, and whatever else must go with it."""

    name: str
    url: Callable[[Path], str]
    lose: Callable[[Path, str], None]
    trims: bool = True


def lose_file(folder: Path, _topic: str) -> None:
    for path in folder.glob("bus.db*"):
        path.unlink()


ADAPTERS = [
    Adapter("sqlite", lambda folder: f"sqlite:///{folder}/bus.db", lose_file),
    pytest.param(Adapter("kafka", lambda _: "", lose_file, trims=False), marks=pytest.mark.engines),
]
AT_ONCE_OLD: dict[str, Any] = {"bus_retention_h": 1e-9}

Opener = Callable[..., Bus]


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: str(adapter.name))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    chosen: Adapter = request.param
    if chosen.name == "kafka":  # one broker for all tests, topics with a prefix of each test's own
        url = request.getfixturevalue("kafka").url

        def prefixed(folder: Path) -> str:
            return f"{url}/{hashlib.sha256(bytes(folder)).hexdigest()[:12]}"

        def lose(folder: Path, topic: str) -> None:
            delete(url, f"{prefixed(folder).rpartition('/')[2]}.{topic}")

        return replace(chosen, url=prefixed, lose=lose)
    return chosen


@pytest.fixture
def reopen(adapter: Adapter, tmp_path: Path) -> Iterator[Opener]:
    """Opens the bus of this test once more, with other settings."""
    url = adapter.url(tmp_path)
    if not url:
        pytest.skip(f"{adapter.name} is not configured")
    with contextlib.ExitStack() as opened:

        def opener(**overrides: Any) -> Bus:
            settings: Settings = load_settings(_env_file=None, **overrides)
            return opened.enter_context(contextlib.closing(open_bus(url, settings)))

        yield opener


@pytest.fixture
def bus(reopen: Opener) -> Bus:
    return reopen()


@pytest.fixture
def trimming(adapter: Adapter, reopen: Opener) -> Bus:
    """A bus whose messages are too old at once."""
    if not adapter.trims:
        pytest.skip(f"{adapter.name} keeps its own retention")
    return reopen(**AT_ONCE_OLD)


def messages(*payloads: bytes) -> list[Message]:
    return [Message(payload) for payload in payloads]


def read(bus: Bus, topic: str, partition: int, offset: int = 0) -> list[Message]:
    found: list[Message] = []
    with contextlib.closing(bus.reader(topic, partition, offset)) as reader:
        while batch := reader.poll(7):
            found += batch
    return found


def payloads(found: Sequence[Message]) -> list[bytes]:
    return [message.payload for message in found]
