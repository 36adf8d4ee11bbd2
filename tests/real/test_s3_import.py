"""Imports into a lake on a real S3 server: the tests of a folder, unchanged."""

from __future__ import annotations

import pytest

from tests.headwater.commands.test_import import (
    settings,
    test_a_day_that_the_hot_store_holds_gets_the_imported_rows_too,
    test_a_killed_import_goes_on_where_it_stood,
)

pytestmark = pytest.mark.usefixtures("on_s3")
