"""Check of a hot store on OpenSearch: engine, templates, indexes -> a verdict. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headwater.console import counted
from headwater.doctor.verdict import Verdict, fail, together, warn

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.hot.opensearch.check import ClusterFacts, Product

FULL_PERCENT = 85  # above this the engine moves shards away
LAKE_HAS_IT = "the lake has every record meanwhile"


def opensearch(settings: Settings) -> Verdict:
    """Check the hot store. Raises ConfigError or StoreError with the reason if the engine cannot be read."""
    from lakehouse.hot.opensearch.check import Product, look

    facts = look(settings.hot, settings)
    if isinstance(facts, Product):
        return _wrong(facts, settings)
    words = f"OpenSearch {facts.engine.version}, {counted(facts.nodes, 'node')}, {facts.status}"
    if facts.is_fresh:
        words += ", no indexes yet; the first start creates them"
    return together([*_health(facts), *_blocks(facts), *_templates(facts), *_foreign(facts)], words)


def _wrong(engine: Product, settings: Settings) -> Verdict:
    from lakehouse.hot.opensearch.check import OLDEST

    needed = f"OpenSearch {'.'.join(map(str, OLDEST))} or newer"
    if engine.product == "opensearch":
        return fail(f"OpenSearch {engine.version} is too old", f"upgrade it: {needed} is needed, 2.19.1 is tested")
    return fail(
        f"{engine.product} (version {engine.version}) answers at {settings.hot}, not OpenSearch",
        f"point HEADWATER_HOT_URL at {needed}",
    )


def _health(facts: ClusterFacts) -> Iterator[Verdict]:
    if facts.red:
        explain = "why: GET _cluster/allocation/explain; start the nodes that hold its shards"
        yield fail(f"red, no node serves a shard of: {_some(facts.red)}", f"{explain}; {LAKE_HAS_IT}")
    elif facts.status == "yellow":
        yield warn("yellow: a replica of a shard is missing", "start the nodes that are away, or lower _REPLICAS")
    if facts.cluster_status == "red" and facts.status != "red":
        yield warn("the cluster is red, but our indexes are not", "see GET _cluster/health?level=indices")
    if facts.disk_percent >= FULL_PERCENT:
        yield warn(f"a data node's disk is {facts.disk_percent} % full", "free space: at 95 % indexes become read-only")


def _blocks(facts: ClusterFacts) -> Iterator[Verdict]:
    if facts.full:
        yield fail(
            f"read-only, as a disk was full (flood stage): {_some(facts.full)}",
            f"free disk space on the data nodes, then OpenSearch lifts the block; {LAKE_HAS_IT}",
        )
    for index, what in facts.blocked.items():
        yield fail(f"{index or 'the cluster'} is blocked: {what}", "see GET _cluster/state/blocks, and lift the block")


def _templates(facts: ClusterFacts) -> Iterator[Verdict]:
    for error in facts.refused_templates.values():
        yield fail(str(error), error.hint)
    if facts.stale_templates and not facts.is_fresh:
        names = ", ".join(facts.stale_templates)
        yield warn(f"templates are missing or differ from ours: {names}", "restart the flow: a start sets them")


def _foreign(facts: ClusterFacts) -> Iterator[Verdict]:
    for index, number in facts.foreign.items():
        yield fail(
            f'index "{index}" has {f"format {number}" if number else "a mapping that is not ours"}',
            "upgrade this process" if number else "delete or rename it: the flow then creates it from the template",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(name or "the cluster" for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
