"""Real engines for the tests of this folder, one of each per session; skipped with the reason where they cannot run.

A test that kills or pauses an engine leaves it running and ready, or runs an engine of its own. Topics, indexes and
prefixes are the test's own: name them after something random.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import s3 as s3_engine
from tests import storage
from tests.real.s3_lake import client_of

HERE = Path(__file__).parent
ARCHIVE = "headwater-archive"
TIMEOUT_S = 300  # the first run on a machine installs the engines, inside the first test's time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("timeout"):
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


@pytest.fixture(scope="module")
def on_s3(s3: s3_engine.S3) -> Iterator[None]:
    """Tables of tests that ask `tests.storage` for their place are on the session's server: the archive in a bucket of
    its own. A module that uses it runs tests of a folder there, unchanged."""
    lake, archive = (f"s3://{name}/{uuid.uuid4().hex}" for name in ("headwater", ARCHIVE))
    existing = {bucket["Name"] for bucket in client_of(s3).list_buckets()["Buckets"]}
    if ARCHIVE not in existing:
        client_of(s3).create_bucket(Bucket=ARCHIVE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        for name, value in storage.keys(s3.environment).items():
            patch.setenv(f"HEADWATER_{name.upper()}", value)
        patch.setenv(storage.BUCKET, lake)
        patch.setenv(storage.ARCHIVE_BUCKET, archive)
        yield
        assert any(
            client_of(s3).list_objects_v2(Bucket="headwater", Prefix=lake.rpartition("/")[2]).get("Contents", ())
        )
