"""Tests of a folder on the S3 server of the session."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from scripts.engines import s3 as s3_engine
from tests import storage
from tests.real.s3_lake import client_of

ARCHIVE = "headwater-archive"


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
