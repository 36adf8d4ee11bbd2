"""Options that several commands share, and the settings under them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.settings import Settings

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of everything. [HEADWATER_DATA_DIR, ./data]")]
Host = Annotated[str | None, typer.Option(help="Address to listen on. [HEADWATER_HOST, 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. [HEADWATER_PORT, 8080]")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Env = Annotated[str, typer.Option(help="Environment of every record, e.g. prod.")]
AsHost = Annotated[str | None, typer.Option("--host", help="Host name of every record. [this machine's]")]


def settings_for(**given: object) -> Settings:
    """Settings from the environment, under what the command line gave."""
    from contracts.settings import load_settings

    return load_settings(**{name: value for name, value in given.items() if value is not None})
