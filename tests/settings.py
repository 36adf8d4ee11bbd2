"""Settings of tests: values -> `Settings`, without anybody's `.env`, and with tables where `tests.storage` says."""

from __future__ import annotations

from typing import Any

from contracts.settings import Settings, load_settings
from tests import storage


def settings(**values: Any) -> Settings:
    """Tables are placed for a `data_dir`, where they are not given."""
    placed = storage.values(values["data_dir"]) if "data_dir" in values else {}
    return load_settings(_env_file=None, **{**placed, **values})
