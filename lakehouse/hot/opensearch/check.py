"""A look at OpenSearch: settings -> facts about the engine, our templates and indexes, for `headwater up` and `doctor`.

Nothing is made or changed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.hot.opensearch.client import Client
from lakehouse.hot.opensearch.templates import FORMAT, check, find, is_same, wanted

REACH_S = 4.0
OLDEST = (2, 7)  # the first with `flat_object`
_DISK_FULL = 12  # the engine's number for the block of a full disk, "read-only / allow delete"


@dataclass(frozen=True, slots=True)
class Product:
    """What answers at the URL. `product`: "opensearch", or what else it calls itself."""

    product: str
    version: str

    @property
    def is_usable(self) -> bool:
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        return self.product == "opensearch" and numbers >= OLDEST


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Attributes:
    status: "green", "yellow" or "red", of the indexes that are ours.
    cluster_status: Of all.
    red: Indexes of ours with a shard that nobody serves.
    full: Indexes of ours that the engine made read-only, as a disk is full.
    blocked: Other blocks, by index; "" is the whole cluster.
    disk_percent: Of the fullest data node; 0 when it does not say.
    refused_templates: Those that a start would not replace, with what it would say.
    stale_templates: Those that a start would make, or bring up to ours.
    foreign: Indexes with our names and another mapping, with the format that they tell (0: none).
    """

    engine: Product
    nodes: int
    status: str
    cluster_status: str
    red: Sequence[str]
    full: Sequence[str]
    blocked: Mapping[str, str]
    disk_percent: int
    refused_templates: Mapping[str, StoreError]
    stale_templates: Sequence[str]
    foreign: Mapping[str, int]
    is_fresh: bool


def reach(url: str, settings: Settings) -> Product:
    """Ask what answers; blocks for at most `REACH_S` or so.

    Raises:
        ConfigError: The URL or a setting cannot work.
        StoreError: Nobody answers, or we are not let in.
    """
    with contextlib.closing(Client(url, settings, REACH_S)) as client:
        return _engine(client)


def _engine(client: Client) -> Product:
    told = client.call("GET", "/")
    version = told.get("version") if isinstance(told, dict) else None
    if not isinstance(version, dict):
        return Product("something else", "?")
    product = version.get("distribution") or ("elasticsearch" if version.get("number") else "something else")
    return Product(str(product), str(version.get("number", "?")))


def look(url: str, settings: Settings) -> ClusterFacts | Product:
    """Everything; only what it is, when it is not an OpenSearch that can be used. Raises as `reach`."""
    with contextlib.closing(Client(url, settings, REACH_S)) as client:
        engine = _engine(client)
        if not engine.is_usable:
            return engine
        ours = f"{settings.opensearch_prefix}-*"
        health = client.call("GET", f"/_cluster/health/{ours}", params={"level": "indices"})
        full, blocked = _blocks(client, ours)
        refused, stale = _templates(client, settings)
        return ClusterFacts(
            engine=engine,
            nodes=health["number_of_data_nodes"],
            status=health["status"],
            cluster_status=client.call("GET", "/_cluster/health")["status"],
            red=sorted(name for name, about in health.get("indices", {}).items() if about["status"] == "red"),
            full=full,
            blocked=blocked,
            disk_percent=_disk_percent(client),
            refused_templates=refused,
            stale_templates=stale,
            foreign=_foreign(client, ours),
            is_fresh=not health.get("indices"),
        )


def _blocks(client: Client, ours: str) -> tuple[list[str], dict[str, str]]:
    found = client.call("GET", f"/_cluster/state/blocks/{ours}").get("blocks", {})
    full, blocked = list[str](), dict[str, str]()
    for name, blocks in {"": found.get("global", {}), **found.get("indices", {})}.items():
        if str(_DISK_FULL) in blocks:
            full.append(name)
        elif blocks:
            blocked[name] = ", ".join(str(about.get("description", "?")) for about in blocks.values())
    return sorted(full), blocked


def _disk_percent(client: Client) -> int:
    rows = client.call("GET", "/_cat/allocation", params={"format": "json", "h": "disk.percent"})
    return max((int(row["disk.percent"]) for row in rows if row.get("disk.percent")), default=0)


def _templates(client: Client, settings: Settings) -> tuple[dict[str, StoreError], list[str]]:
    """Those that a start would refuse to replace, and those that it would make or bring up to ours."""
    refused, stale = dict[str, StoreError](), list[str]()
    for path, template, listed, inner in wanted(settings):
        name = path.rsplit("/", 1)[1]
        found = find(client, path, listed, inner)
        if found is None:
            stale.append(name)
            continue
        try:
            check(path, found, template)
        except StoreError as error:
            refused[name] = error
            continue
        if not is_same(found, template):
            stale.append(name)
    return refused, stale


def _foreign(client: Client, ours: str) -> dict[str, int]:
    answer: dict[str, Any] = client.call("GET", f"/{ours}/_mapping", absent={})
    formats = {name: (about["mappings"].get("_meta") or {}).get("headwater", 0) for name, about in answer.items()}
    return {name: number for name, number in formats.items() if number != FORMAT and not name.endswith("-state")}
