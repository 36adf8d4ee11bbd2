"""The walk (`tests.e2e.walk`) on real engines: Kafka alone, OpenSearch and S3, all three."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.walk import nine_files, read_plainly, up, walk
from tests.real.pointing import delta_options, settings_of

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    "names", [["kafka"], ["opensearch", "s3"], ["kafka", "opensearch", "s3"]], ids=["kafka", "opensearch-s3", "all"]
)
def test_every_line_of_nine_files_is_found_once_on_these_engines_too(
    names: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    engines = {name: request.getfixturevalue(name) for name in names}
    settings = settings_of(*engines.values())
    with up(tmp_path, **settings) as stack:
        shipped = walk(stack, nine_files(tmp_path))
    embedded = {"kafka": "bus.db", "opensearch": "hot", "s3": "lake"}
    assert not [file for name, file in embedded.items() if (stack.settings.data / file).exists() == (name in engines)]

    assert read_plainly(f"{stack.settings.lake}/logs", delta_options(settings), tmp_path) == shipped
