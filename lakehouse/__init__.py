"""Data at rest: URL -> hot store or lake. The scheme picks the adapter; heavy libraries load when one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.hot import HotStore
from contracts.settings import Settings

if TYPE_CHECKING:
    from lakehouse.lake import Lake

_TANTIVY = "tantivy:///"


def open_hot(url: str, settings: Settings) -> HotStore:
    """Open the hot store at `url` ("tantivy:///absolute/path"); its folder is made when missing.

    Raises:
        ConfigError: The URL has no adapter.
        StoreError: The store cannot be opened.
    """
    if not url.startswith(_TANTIVY):
        raise ConfigError(
            f'hot store URL "{url}" has no adapter: use tantivy:///path', hint="set HEADWATER_HOT_URL or leave it empty"
        )
    from lakehouse.hot_tantivy import TantivyHotStore

    return TantivyHotStore(url.removeprefix("tantivy://"), settings)


def open_lake(url: str, settings: Settings) -> Lake:
    """Open the lake at `url` (a folder or an object store); missing tables are made.

    Raises:
        StoreError: The lake cannot be opened.
    """
    from lakehouse.lake import Lake

    return Lake(url, settings)
