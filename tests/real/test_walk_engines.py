"""The walk (`tests.e2e.walk`) on real engines: Kafka alone, OpenSearch and S3, all three."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from scripts.engines.s3 import S3
from tests.e2e.walk import needs_data, read_plainly, up, walk
from tests.real.pointing import settings_of

pytestmark = [needs_data, pytest.mark.timeout(400)]


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
    with up(tmp_path, **settings_of(run, *engines.values())) as stack:
        shipped = walk(stack)
    embedded = {"kafka": "bus.db", "opensearch": "hot", "s3": "lake"}
    assert not [file for name, file in embedded.items() if (stack.settings.data / file).exists() == (name in engines)]
    options = options_of(engines["s3"]) if "s3" in engines else {}

    assert read_plainly(f"{stack.settings.lake}/logs", options, tmp_path) == shipped
