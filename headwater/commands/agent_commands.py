"""`headwater agent`: arguments -> the agents of `agents/`. Heavy imports happen inside the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.errors import ConfigError
from headwater.options import AsHost, Begin, ConfigFile, Encoding, Env, Json, Multiline, Zone, settings_for

agent_app = typer.Typer(help="Ship logs and host metrics; see how shipping goes.", no_args_is_help=True)


def all_paths(paths: list[str], more: list[str]) -> list[str]:
    """What --path named, and the further words that a shell made of an unquoted glob.

    Raises:
        ConfigError: There are words, and no --path that they could belong to.
    """
    if more and not paths:
        raise ConfigError(f'"{more[0]}" belongs to no option', hint="files are named with --path, e.g. --path *.log")
    return [*paths, *more]


@agent_app.command("logs")
def agent_logs(
    path: Annotated[
        list[str] | None, typer.Option(metavar="GLOB...", help="Files to tail; may be given again, or several words.")
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True, help="Further words of --path.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Files not to tail; may be given again.")
    ] = None,
    begin: Annotated[
        Begin, typer.Option("--from", help="Where to begin in files that stand there at the first look.")
    ] = Begin.START,
    encoding: Encoding = "auto",
    stdin: Annotated[bool, typer.Option("--stdin", help="Read standard input as well.")] = False,
    service: Annotated[
        str, typer.Option(help="Service of every record; default is that of the file's container.")
    ] = "",
    env: Env = "",
    host: AsHost = None,
    name: Annotated[str, typer.Option(help="Name of this agent; its buffer and positions live under it.")] = "logs",
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when all files are read to their end and shipped.")
    ] = False,
    multiline: Multiline = "auto",
    timezone: Zone = "",
) -> None:
    """Tail files and standard input, and ship them exactly once."""
    from agents import FileOptions
    from headwater.commands.shipping import ship_logs

    paths = all_paths(path or [], more or [])
    files = FileOptions(tuple(exclude or ()), begin.value, encoding)
    raise typer.Exit(
        ship_logs(settings_for(), paths, stdin, service, env, host, name, exit_when_idle, files, multiline, timezone)
    )


@agent_app.command("host")
def agent_host(
    interval: Annotated[float, typer.Option(min=1, help="Seconds between samples.")] = 10.0,
    service: Annotated[str, typer.Option(help="Service of every point.")] = "host",
    env: Env = "",
    host: AsHost = None,
    name: Annotated[str, typer.Option(help="Name of this agent; its buffer lives under it.")] = "host",
    exit_when_idle: Annotated[bool, typer.Option("--exit-when-idle", help="Measure once, ship it, end.")] = False,
) -> None:
    """Measure this machine and ship its metrics."""
    from headwater.commands.shipping import ship_host

    raise typer.Exit(ship_host(settings_for(), interval, service, env, host, name, exit_when_idle))


@agent_app.command("journald")
def agent_journald(
    unit: Annotated[list[str] | None, typer.Option(metavar="UNIT", help="Only this unit; may be given again.")] = None,
    begin: Annotated[Begin, typer.Option("--from", help="Where the first start begins.")] = Begin.START,
    directory: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of journal files; default is this machine's.")
    ] = "",
    service: Annotated[str, typer.Option(help="Service of every record; default is its unit or identifier.")] = "",
    env: Env = "",
    host: AsHost = None,
    name: Annotated[str, typer.Option(help="Name of this agent; its buffer and position live under it.")] = "journald",
    exit_when_idle: Annotated[bool, typer.Option("--exit-when-idle", help="End when the journal is shipped.")] = False,
) -> None:
    """Read the journal of systemd and ship it exactly once."""
    from agents import JournalInput
    from headwater.commands.shipping import ship_journald

    given = JournalInput(
        unit=tuple(unit or ()), begin=begin.value, directory=directory, service=service, env=env, host=host or ""
    )
    raise typer.Exit(ship_journald(settings_for(), given, name, exit_when_idle))


@agent_app.command("run")
def agent_run(
    config: ConfigFile,
    exit_when_idle: Annotated[bool, typer.Option("--exit-when-idle", help="End when all is read and shipped.")] = False,
) -> None:
    """Run all inputs of a config in one process: files, the journal, metrics of this machine."""
    from headwater.commands.shipping import ship_config

    raise typer.Exit(ship_config(settings_for(), config, exit_when_idle))


@agent_app.command("check")
def agent_check(config: ConfigFile, as_json: Json = False) -> None:
    """Show what `headwater agent run` would read; exit code 1 if an input is wrong or reads nothing."""
    from headwater.commands.shipping import check_config

    raise typer.Exit(check_config(config, as_json))


@agent_app.command("status")
def agent_status(as_json: Json = False) -> None:
    """What the agents of this machine have read, sent, retried and set aside."""
    from headwater.commands.shipping import show_status

    raise typer.Exit(show_status(settings_for(), as_json))
