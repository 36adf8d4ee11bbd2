"""docker-compose.yml, Dockerfile and .env.example, read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS = ("ingest", "query", "flow", "batch", "topics", "bucket", "cli")
ENGINES = ("kafka", "opensearch", "s3")
ONCE = ("topics", "bucket", "cli")

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())


def instructions(name: str) -> list[str]:
    """What follows each `name` of the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def image_environment() -> dict[str, str]:
    """The last ENV of the Dockerfile."""
    return dict(re.findall(r"(\w+)=(\S+)", instructions("ENV")[-1]))


def image_check() -> list[str]:
    found: list[str] = json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2])
    return found


def example() -> dict[str, str]:
    """The variables of .env.example, those behind a # as well."""
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def variables(text: str) -> dict[str, str]:
    """`${NAME}` with what follows the name: a default, or `:?` and why it is needed."""
    return dict(re.findall(r"\$\{(\w+)(:?[^}]*)\}", text))
