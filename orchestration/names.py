"""Names: kinds and tables -> keys, pools and owner of their assets."""

from __future__ import annotations

import dagster as dg

from contracts.messages import Kind

OWNER = "team:observability"
RETRY = dg.RetryPolicy(max_retries=2, delay=20, backoff=dg.Backoff.EXPONENTIAL)  # covers an engine outage of a minute

SHORT = {"headwater/run": "short"}  # tags of frequent runs: their records are kept for days, not for a year


def topic(kind: Kind) -> dg.AssetKey:
    return dg.AssetKey(["bus", kind.topic.replace(".", "_")])


def landed(name: str) -> dg.AssetKey:
    return dg.AssetKey(["lake", name])


def opened(name: str) -> dg.AssetKey:
    return dg.AssetKey(["lake", f"{name}_open_day"])


def compacted(name: str) -> dg.AssetKey:
    return dg.AssetKey(["lake", f"{name}_compacted"])


def retained(name: str) -> dg.AssetKey:
    return dg.AssetKey(["lake", f"{name}_retained"])


def hot(name: str) -> dg.AssetKey:
    return dg.AssetKey(["hot", f"{name}_hot"])


def archived(name: str) -> dg.AssetKey:
    return dg.AssetKey(["archive", f"{name}_archive"])


def pool(name: str) -> str:
    """Pool of the steps that rewrite a table; one step runs at a time."""
    return f"lake/{name}"
