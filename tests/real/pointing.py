"""Engines for tests -> settings that point at them, with names of one run's own."""

from __future__ import annotations

import uuid
from typing import Any

from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3


def settings_of(*engines: Kafka | OpenSearch | S3, run: str = "") -> dict[str, Any]:
    """By name of setting; nothing else of the environment is needed. What is not given stays embedded.

    Args:
        run: A topic prefix, an index prefix and a folder of the lake; "" is a new one.
    """
    run = run or f"r{uuid.uuid4().hex[:12]}"
    settings: dict[str, Any] = {}
    for engine in engines:
        settings |= _of(engine, run)
    return settings


def delta_options(settings: dict[str, Any]) -> dict[str, str]:
    """For a plain Delta reader of the lake that these settings name; {} for a folder."""
    if "s3_endpoint" not in settings:
        return {}
    return {
        "AWS_ENDPOINT_URL": settings["s3_endpoint"],
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": settings["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": settings["s3_secret_key"],
    }


def _of(engine: Kafka | OpenSearch | S3, run: str) -> dict[str, Any]:
    if isinstance(engine, Kafka):
        return {"bus_url": f"{engine.url}/{run}", "bus_group": run}
    if isinstance(engine, OpenSearch):
        return {"hot_url": engine.url, "opensearch_prefix": run}
    return {
        "lake_url": f"{engine.url}/{run}",
        "s3_endpoint": engine.endpoint,
        "s3_access_key": engine.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": engine.environment["AWS_SECRET_ACCESS_KEY"],
    }


def environment_of(settings: dict[str, Any]) -> dict[str, str]:
    """The same for a process."""
    return {f"HEADWATER_{name.upper()}": str(value) for name, value in settings.items()}
