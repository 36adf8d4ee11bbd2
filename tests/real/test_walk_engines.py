"""The walk (`tests.e2e.walk`) on real engines: Kafka alone, OpenSearch and S3, all three."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests.e2e.walk import needs_data, read_plainly, up, walk

pytestmark = [needs_data, pytest.mark.timeout(400)]


def settings_of(engine: Kafka | OpenSearch | S3, run: str) -> dict[str, Any]:
    """What makes `headwater up` use it, with names of this test's own."""
    if isinstance(engine, Kafka):
        return {"bus_url": f"{engine.url}/{run}", "bus_group": run}
    if isinstance(engine, OpenSearch):
        return {"hot_url": engine.url, "opensearch_prefix": run}
    return {
        "lake_url": f"{engine.url}/{run}",
        "s3_endpoint": engine.endpoint,
        "s3_access_key": engine.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": engine.environment["AWS_SECRET_ACCESS_KEY"],
    }


def options_of(engine: S3) -> dict[str, str]:
    """Of another's Delta reader."""
    return {name: value for name, value in engine.environment.items() if name.startswith("AWS_")}


@pytest.mark.parametrize(
    "names", [["kafka"], ["opensearch", "s3"], ["kafka", "opensearch", "s3"]], ids=["kafka", "opensearch-s3", "all"]
)
def test_every_line_of_nine_real_files_is_found_once_on_these_engines_too(
    names: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = f"w{uuid.uuid4().hex[:12]}"
    engines = {name: request.getfixturevalue(name) for name in names}
    settings: dict[str, Any] = {}
    for engine in engines.values():
        settings |= settings_of(engine, run)
    with up(tmp_path, **settings) as stack:
        shipped = walk(stack)
    embedded = {"kafka": "bus.db", "opensearch": "hot", "s3": "lake"}
    assert not [file for name, file in embedded.items() if (stack.settings.data / file).exists() == (name in engines)]
    options = options_of(engines["s3"]) if "s3" in engines else {}

    assert read_plainly(f"{stack.settings.lake}/logs", options, tmp_path) == shipped
