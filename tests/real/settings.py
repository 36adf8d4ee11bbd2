"""Settings that put a data folder on engines, with a topic prefix, an index prefix and a lake of its own."""

from __future__ import annotations

import uuid
from typing import Any

from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3


def on_engines(*engines: Kafka | OpenSearch | S3) -> dict[str, str]:
    """By the names of `contracts.settings`; what is not given stays embedded."""
    name = f"r{uuid.uuid4().hex[:12]}"
    settings: dict[str, str] = {}
    for engine in engines:
        if isinstance(engine, Kafka):
            settings |= {"bus_url": f"{engine.url}/{name}", "bus_group": name}
        elif isinstance(engine, OpenSearch):
            settings |= {"hot_url": engine.url, "opensearch_prefix": name}
        else:
            settings |= {
                "lake_url": f"{engine.url}/{name}",
                "s3_endpoint": engine.endpoint,
                "s3_access_key": engine.environment["AWS_ACCESS_KEY_ID"],
                "s3_secret_key": engine.environment["AWS_SECRET_ACCESS_KEY"],
            }
    return settings


def delta_options(settings: dict[str, Any]) -> dict[str, str]:
    """For a plain Delta reader of the lake on S3 that `on_engines` names; {} for a folder."""
    if "s3_endpoint" not in settings:
        return {}
    return {
        "AWS_ENDPOINT_URL": settings["s3_endpoint"],
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": settings["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": settings["s3_secret_key"],
    }
