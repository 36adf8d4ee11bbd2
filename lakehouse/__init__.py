"""Data at rest: URL -> hot store or lake. The scheme picks the adapter; heavy libraries load when one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.hot import HotStore
from contracts.settings import Settings

if TYPE_CHECKING:
    from lakehouse.lake.store import Lake

_TANTIVY = "tantivy:///"
_OPENSEARCH = ("opensearch://", "opensearchs://")


def open_hot(url: str, settings: Settings) -> HotStore:
    """Open the hot store at `url`: "tantivy:///absolute/path", whose folder is made when missing, or
    "opensearch://host:9200" ("opensearchs" for TLS), which is not connected to yet.

    Raises:
        ConfigError: The URL has no adapter.
        StoreError: The store cannot be opened.
    """
    if url.startswith(_OPENSEARCH):
        from lakehouse.hot.opensearch.store import OpenSearchHotStore

        return OpenSearchHotStore(url, settings)
    if not url.startswith(_TANTIVY):
        raise ConfigError(
            f'hot store URL "{url}" has no adapter: use tantivy:///path or opensearch://host:9200',
            hint="set HEADWATER_HOT_URL or leave it empty",
        )
    from lakehouse.hot.tantivy.store import TantivyHotStore

    return TantivyHotStore(url.removeprefix("tantivy://"), settings)


def check_workers(url: str, workers: int) -> None:
    """Refuse more workers than the hot store at `url` admits writers of a kind.

    Raises:
        ConfigError: Says what to change.
    """
    if workers > 1 and url.startswith(_TANTIVY):
        raise ConfigError(
            f"{workers} workers were asked for, and the embedded hot store admits one",
            hint="set HEADWATER_FLOW_WORKERS to 1, or HEADWATER_HOT_URL to opensearch://host:9200",
        )


def check_lake(url: str, settings: Settings) -> None:
    """See that an object store would lose no commits, by a race that is remembered in the data folder; of a local
    folder nothing is asked.

    Raises:
        ConfigError: It would lose some, or the URL or its settings cannot work.
        StoreError: It cannot be asked now, and why.
    """
    from lakehouse.s3.store import object_store

    store = object_store(url, settings)
    if store is not None:
        from lakehouse.s3.probe import ensure_safe

        ensure_safe(store, settings.data)


def open_lake(url: str, settings: Settings) -> Lake:
    """Open the lake at `url` (a folder, or s3://bucket/prefix); missing tables are made when they are first read.

    Raises:
        ConfigError: The URL, or the settings of its object store, cannot work.
    """
    from lakehouse.lake.store import Lake

    return Lake(url, settings)
