"""The walk (`tests.e2e.walk`) with everything embedded."""

from __future__ import annotations

import collections
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from tests.e2e.walk import Counted, nine_files, public_files, read_plainly, up, walk
from tests.samples.sources import extra

pytestmark = pytest.mark.timeout(300)


def bodies_in_files_of_the_lake(table: str) -> Counted:
    """Read by plain DuckDB from the files that the Delta log names."""
    files = DeltaTable(table).file_uris()
    rows = duckdb.connect().read_parquet(files).project("service, body").fetchall()
    return collections.Counter((service, body) for service, body in rows)


def check(folder: Path, files: list[Path]) -> None:
    with up(folder) as stack:
        shipped = walk(stack, files)
    table = f"{stack.settings.lake}/logs"

    assert bodies_in_files_of_the_lake(table) == shipped
    assert read_plainly(table, {}, folder) == shipped


def test_every_line_of_nine_files_is_found_once_and_again_after_shipping_them_twice(tmp_path: Path) -> None:
    check(tmp_path, nine_files(tmp_path))


@extra
def test_every_line_of_nine_real_files_is_found_once_and_again_after_shipping_them_twice(tmp_path: Path) -> None:
    check(tmp_path, public_files(tmp_path))
