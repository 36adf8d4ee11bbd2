"""The start-up race: a server that would lose commits is refused, one that would not is remembered."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest

from contracts.errors import ConfigError, StoreError
from contracts.messages import Kind
from lakehouse.lake.store import Lake
from lakehouse.s3 import probe
from lakehouse.s3.probe import ensure_safe
from lakehouse.s3.store import ObjectStore, object_store
from tests.lakehouse.object_store_server import ATOMIC, BUSY, IGNORES, LOOKS_FIRST, OVERWRITES, MemoryS3, serving
from tests.settings import settings

KEYS = {"s3_access_key": "a", "s3_secret_key": "b"}


def store_of(server: MemoryS3) -> ObjectStore:
    store = object_store("s3://bucket/lake", settings(s3_endpoint=server.url, **KEYS))
    assert store is not None
    return store


@pytest.fixture
def short_races(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four keys, where a test is about what is remembered and not about who wins."""
    monkeypatch.setattr(probe, "race", functools.partial(probe.race, keys=4))


def test_an_atomic_server_is_raced_once_and_remembered(tmp_path: Path) -> None:
    with serving(ATOMIC) as server:
        ensure_safe(store_of(server), tmp_path)
        puts = server.puts
        for age_s in (0, 3600):  # just now nothing is asked; later, what server it is
            remember(tmp_path, age_s)
            ensure_safe(store_of(server), tmp_path)

        assert puts > 0
        assert server.puts == puts
        assert server.objects == {}, "keys of the probe are left"


@pytest.mark.usefixtures("short_races")
@pytest.mark.parametrize(("age_s", "server_name"), [(3600, "another"), (8 * 86_400, "MemoryS3 "), (-3600, "MemoryS3 ")])
def test_what_is_remembered_of_another_server_or_another_time_does_not_count(
    tmp_path: Path, age_s: float, server_name: str
) -> None:
    with serving(ATOMIC) as server:
        ensure_safe(store_of(server), tmp_path)
        puts = server.puts
        remember(tmp_path, age_s, server_name)
        ensure_safe(store_of(server), tmp_path)

        assert server.puts == 2 * puts


@pytest.mark.usefixtures("short_races")
@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_memory_that_cannot_be_read_costs_another_race(tmp_path: Path, text: str) -> None:
    with serving(ATOMIC) as server:
        (tmp_path / "object-stores.json").write_text(text)
        ensure_safe(store_of(server), tmp_path)
        assert server.puts > 0


def remember(folder: Path, age_s: float, server_name: str = "") -> None:
    """Change when the race was, and of what server."""
    file = folder / "object-stores.json"
    (known,) = json.loads(file.read_text()).items()
    place, entry = known
    changed = {"server": server_name or entry["server"], "probed_s": int(time.time() - age_s)}
    file.write_text(json.dumps({place: changed}))


@pytest.mark.parametrize(
    ("manner", "words"),
    [(IGNORES, "be written twice"), (LOOKS_FIRST, "be written twice"), (OVERWRITES, "stored a refused body")],
)
def test_a_server_that_would_lose_commits_is_refused_by_name_each_time(tmp_path: Path, manner: str, words: str) -> None:
    with serving(manner) as server:
        for _ in range(2):
            with pytest.raises(ConfigError, match=words) as caught:
                ensure_safe(store_of(server), tmp_path)
        assert server.url in str(caught.value)
        assert "MemoryS3" in str(caught.value)
        assert "versitygw" in caught.value.hint
        assert server.objects == {}, "keys of the probe are left"


def test_a_writer_opens_nothing_on_such_a_server(tmp_path: Path) -> None:
    with serving(LOOKS_FIRST) as server:
        lake = Lake("s3://bucket/lake", settings(s3_endpoint=server.url, data_dir=tmp_path, **KEYS))
        with pytest.raises(ConfigError, match="be written twice"):
            lake.writer(Kind.LOGS)
        lake.close()
        assert server.objects == {}


def test_a_server_that_is_busy_is_not_judged(tmp_path: Path) -> None:
    with serving(BUSY) as server:
        with pytest.raises(StoreError, match="did not answer requests"):
            ensure_safe(store_of(server), tmp_path)
        server.manner = ATOMIC
        ensure_safe(store_of(server), tmp_path)


@pytest.mark.usefixtures("short_races")
def test_a_server_that_is_away_is_said_and_taken_when_it_is_there(tmp_path: Path) -> None:
    with serving(ATOMIC) as server:
        away = object_store("s3://bucket", settings(s3_endpoint="http://127.0.0.1:9", **KEYS))
        assert away is not None
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            ensure_safe(away, tmp_path)
        assert "HEADWATER_S3_ENDPOINT" in caught.value.hint
        ensure_safe(store_of(server), tmp_path)


@pytest.mark.usefixtures("short_races")
def test_a_folder_that_cannot_be_written_costs_the_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(ATOMIC) as server:
        ensure_safe(store_of(server), tmp_path / "file")
