"""The docs name every setting, route and command of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from contracts.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    row = re.search(rf"^\| `HEADWATER_{name.upper()}` \| (.*?) \|", text("settings.md"), re.MULTILINE)
    assert row, f"HEADWATER_{name.upper()} is missing in docs/settings.md"
    assert row.group(1) == default_text(name), f"HEADWATER_{name.upper()} has another default in docs/settings.md"


def default_text(name: str) -> str:
    """How docs/settings.md writes a default."""
    default = Settings.model_fields[name].default
    shown = "" if default is None else getattr(default, "get_secret_value", lambda: str(default))()
    return f"`{shown}`" if shown else "empty"


def routes(folder: Path) -> list[tuple[str, str]]:
    from ingestion_api.app import create_app as create_ingestion
    from query_api.app import create_app as create_query

    settings = load_settings(data_dir=folder)
    found: list[tuple[str, str]] = []
    for create in (create_ingestion, create_query):
        for path, operations in create(settings).openapi()["paths"].items():
            found += [(method.upper(), path) for method in operations]
    return found


def test_every_route_is_described(tmp_path: Path) -> None:
    for method, path in routes(tmp_path):
        assert f"{method} {path}" in text("api.md"), f"{method} {path} is missing in docs/api.md"


def commands(command: Any, words: tuple[str, ...]) -> list[str]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        return [" ".join(words)]
    return [line for name, child in children.items() for line in commands(child, (*words, name))]


def test_every_command_is_described() -> None:
    from headwater.__main__ import app

    for line in commands(typer.main.get_command(app), ("headwater",)):
        assert f"`{line}" in text("commands.md"), f"{line} is missing in docs/commands.md"


def test_the_readme_is_short_and_starts_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    top = "\n".join(lines[:30])
    assert top.index("make run") < top.index("make test")
