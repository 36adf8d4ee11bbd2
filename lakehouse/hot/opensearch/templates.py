"""Index templates: data files -> OpenSearch, at the start of a writer. Versioned; what is not ours is never replaced.

`words` and `records` are component templates; `logs`, `metrics`, `events` and `state` are index templates. Their names
and patterns begin with the setting `opensearch_prefix`.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings

if TYPE_CHECKING:
    from lakehouse.hot.opensearch.client import Client

FORMAT = 2  # of the documents; stands in the mapping of every index that we made
KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
_FOLDER = Path(__file__).with_name("index_templates")
_COMPONENTS = ("words", "records")

log = logging.getLogger("headwater.hot")


@functools.cache
def template(name: str) -> dict[str, Any]:
    """The data file `name`; not to be changed."""
    read: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return read


def apply(client: Client, settings: Settings) -> None:
    """Bring every template up to ours; idempotent.

    Raises:
        StoreError: One of that name was made by others, or by a later version; nothing of it was changed.
    """
    for each in wanted(settings):
        _put(client, *each)


def wanted(settings: Settings) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Of every template: its path, what stands there, and in which two fields an answer holds what was found."""
    prefix = settings.opensearch_prefix
    for name in _COMPONENTS:
        path = f"/_component_template/{prefix}-{name}"
        yield path, template(name), "component_templates", "component_template"
    for name in (*(kind.value for kind in KINDS), "state"):
        path = f"/_index_template/{prefix}-{name}"
        yield path, _for_indexes(name, settings), "index_templates", "index_template"


def _for_indexes(name: str, settings: Settings) -> dict[str, Any]:
    prefix, ours = settings.opensearch_prefix, template(name)
    index: dict[str, Any] = {
        "number_of_shards": settings.opensearch_shards,
        "auto_expand_replicas": f"0-{settings.opensearch_replicas}" if settings.opensearch_replicas else "false",
        "refresh_interval": f"{settings.opensearch_refresh_s * 1000:.0f}ms",
    }
    if not settings.opensearch_replicas:
        index["number_of_replicas"] = 0
    if name == "state":
        index["number_of_shards"] = 1
    body = dict(ours["template"])
    body["settings"] = {"index": {**body.get("settings", {}).get("index", {}), **index}}
    return ours | {
        "index_patterns": [f"{prefix}-{name}" if name == "state" else f"{prefix}-{name}-*"],
        "composed_of": [] if name == "state" else [f"{prefix}-{part}" for part in _COMPONENTS],
        "template": body,
        "_meta": ours["_meta"] | {"settings": index},
    }


def _put(client: Client, path: str, ours: dict[str, Any], listed: str, inner: str) -> None:
    found = find(client, path, listed, inner)
    if found is not None:
        check(path, found, ours)
        if is_same(found, ours):
            return
        log.info("template %s is brought to version %s", path, ours["version"])
    client.call("PUT", path, ours)


def find(client: Client, path: str, listed: str, inner: str) -> dict[str, Any] | None:
    """The template that is there, by a path of `wanted`."""
    answer = client.call("GET", path, absent={})
    found: dict[str, Any] | None = (answer.get(listed) or [{}])[0].get(inner)
    return found


def is_same(found: dict[str, Any], ours: dict[str, Any]) -> bool:
    return (found.get("version"), found.get("_meta")) == (ours["version"], ours["_meta"])


def check(path: str, found: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises StoreError when what was found may not be replaced by ours."""
    name = path.rsplit("/", 1)[1]
    if (found.get("_meta") or {}).get("made_by") != ours["_meta"]["made_by"]:
        raise StoreError(
            f'OpenSearch has a template "{name}" that Headwater did not make',
            hint="remove or rename it, or set HEADWATER_OPENSEARCH_PREFIX to another name",
            retry_after_s=10,
        )
    if found.get("version", 0) > ours["version"]:
        raise StoreError(
            f'template "{name}" is version {found["version"]}, this Headwater knows {ours["version"]}',
            hint="upgrade this process: a later Headwater writes to this OpenSearch already",
            retry_after_s=10,
        )
