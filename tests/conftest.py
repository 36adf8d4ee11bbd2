"""Real engines for tests marked `engines`, one of each per session (and worker); skipped with the reason where they
cannot run. All of `tests/real` is marked.

A test that kills or pauses an engine leaves it running and ready, or runs an engine of its own. Topics, indexes and
prefixes are the test's own: name them after something random.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import s3 as s3_engine

REAL = Path(__file__).parent / "real"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 3 << 30
LONGEST = Path(__file__).parent / "e2e"
TIMEOUT_S = 300  # the first run on a machine installs the engines, inside the first test's time

os.environ.pop("COLUMNS", None)  # xdist gives its workers a width; what tests read of a command is what a pipe gets

# Temporary folders are in memory where there is room: tests sync thousands of times, each a few milliseconds of a disk.
if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
    MEMORY = Path(tempfile.gettempdir())
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# How fast a busy machine makes up examples says nothing of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST not in item.path.parents)  # begun last, they would run alone at the end
    for item in items:
        if REAL in item.path.parents:
            item.add_marker(pytest.mark.engines)
        if item.get_closest_marker("engines") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def needs(*engines: ModuleType) -> None:
    """Skip the test that asks, or all tests of its fixture, where one of the engines cannot run."""
    for engine in engines:
        if reason := engine.missing():
            pytest.skip(f"{engine.__name__.rpartition('.')[2]}: {reason}")


@pytest.fixture(scope="session")
def engines_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the session's engines keep data; gone at the end, as it is large."""
    home = tmp_path_factory.mktemp("engines")
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(engines_home: Path) -> Iterator[kafka_engine.Kafka]:
    """One broker, without topics."""
    needs(kafka_engine)
    with kafka_engine.running(home=engines_home / "kafka") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def opensearch(engines_home: Path) -> Iterator[opensearch_engine.OpenSearch]:
    """One node, without indexes."""
    needs(opensearch_engine)
    with opensearch_engine.running(home=engines_home / "opensearch") as engine:
        yield engine


@pytest.fixture(scope="session")
def s3(engines_home: Path) -> Iterator[s3_engine.S3]:
    """A server with the empty bucket `headwater`."""
    needs(s3_engine)
    with s3_engine.running(home=engines_home / "s3") as engine:
        yield engine
