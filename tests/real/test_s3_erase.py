"""An erased subject is in no object of the bucket, whether a version of a table uses it or not."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pyarrow.parquet as pq

from scripts.engines.s3 import S3
from tests.flows.running import World
from tests.headwater.erasing import (
    MARKER,
    OTHER,
    OTHERS,
    QUICK,
    ask,
    bodies,
    differences,
    filled,
    kept,
    places,
    run,
)
from tests.real.s3_lake import client_of


def holding(s3: S3, prefix: str) -> list[str]:
    """Keys below `prefix` whose object holds the marker."""
    client, bucket = client_of(s3), s3.url.removeprefix("s3://").partition("/")[0]
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            body = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            rows = pq.ParquetFile(io.BytesIO(body)).read().to_pylist() if entry["Key"].endswith(".parquet") else []
            if MARKER.encode() in body or MARKER in repr(rows):
                found.append(entry["Key"])
    return found


def test_an_erased_subject_is_in_no_object_of_lake_and_archive(s3: S3, tmp_path: Path) -> None:
    bucket, prefix = s3.url.removeprefix("s3://").partition("/")[0], uuid.uuid4().hex
    values = {
        "lake_url": f"s3://{bucket}/{prefix}/lake",
        "archive_url": f"s3://{bucket}/{prefix}/archive",
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": s3.environment["AWS_SECRET_ACCESS_KEY"],
    }
    filled(tmp_path, **values)
    world = World(tmp_path, **QUICK, **values)
    assert {key.split("/")[1] for key in holding(s3, prefix)} == {"lake", "archive"}

    run(world, ask(world))

    world.reopen()
    assert bodies(world) == kept()
    assert bodies(world, OTHER) == kept(OTHERS)
    assert (holding(s3, prefix), places(world)) == ([], [])
    assert differences(world) == {}
    world.connections.close()
