"""The commands `headwater quality …`: arguments -> `headwater.commands.quality`, which is imported when one runs."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.options import DataDir, Json, settings_for

quality_app = typer.Typer(help="What the checks of each day found; check a day, let one pass.")


@quality_app.callback(invoke_without_command=True)
def quality(
    context: typer.Context,
    table: Annotated[str, typer.Option(help="logs, metrics, events or dead_letters; all when left out.")] = "",
    day: Annotated[str, typer.Option(help="Arrival day, UTC, as 2026-03-04; else the newest checked one.")] = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """What the checks of each day found; check a day, let one pass."""
    if context.invoked_subcommand is None:
        from headwater.commands.quality import show

        raise typer.Exit(show(settings_for(data_dir=data_dir), table, day, as_json))


@quality_app.command("run")
def quality_run(
    table: Annotated[str, typer.Option(help="logs, metrics, events or dead_letters; all when left out.")] = "",
    day: Annotated[str, typer.Option(help="Arrival day that is over, UTC, as 2026-03-04; else yesterday.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Check a day now and record what was found."""
    from headwater.commands.quality import run

    raise typer.Exit(run(settings_for(data_dir=data_dir), table, day))


@quality_app.command("release")
def quality_release(
    table: Annotated[str, typer.Option(help="logs, metrics, events or dead_letters.")],
    day: Annotated[str, typer.Option(help="Arrival day, UTC, as 2026-03-04.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    reason: Annotated[str, typer.Option(help="Why the day may be archived all the same.")],
    data_dir: DataDir = None,
) -> None:
    """Let a day be archived although checks fail; who and why is recorded."""
    from headwater.commands.quality import release

    raise typer.Exit(release(settings_for(data_dir=data_dir), table, day, by, reason))
